"""Whose promise holds for a request, and who is told of a label."""

from __future__ import annotations

import pytest

from bandit.risk import Promise, PromiseSettings, Source
from router.domain.promise_names import holder, kept_for, of_plan, renamed
from router.learning.gate_examples import RiskLabel
from router.learning.training import train_promises
from router.ports.observer import NullObserver

PROMISES = {"p": 1, holder("p", "acme"): 2, holder("q", "acme"): 3}


@pytest.mark.parametrize(
    ("plan", "tenant", "kept"),
    [("p", "acme", 2), ("p", "other", 1), ("p", "", 1), ("q", "acme", 3), ("q", "other", None)],
)
def test_ones_own_comes_before_everybodys(plan: str, tenant: str, kept: int | None) -> None:
    assert kept_for(PROMISES, plan, tenant) == kept


def test_a_plan_that_is_renamed_takes_all_its_promises_along() -> None:
    assert renamed(holder("p", "a/b"), {"p": "new"}) == holder("new", "a/b")
    assert renamed("p", {"q": "new"}) == "p"
    assert of_plan(holder("p", "a/b")) == "p"


def test_a_label_counts_once_where_it_belongs() -> None:
    promises = {name: Promise(PromiseSettings(warm_up=0)) for name in ("p", holder("p", "acme"))}
    told = [RiskLabel("p", 0.9, 0.0, 1.0, Source.AUDIT, tenant) for tenant in ("acme", "x", "y")]
    train_promises(promises, told, NullObserver())
    assert [promise.status().labels for promise in promises.values()] == [2, 1]
