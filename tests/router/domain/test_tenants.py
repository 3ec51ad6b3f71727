"""A request finds the promise that holds for it, and a label the promises that learn from it."""

from __future__ import annotations

import pytest

from bandit.risk import LabelSource, Promise, PromiseSettings
from router.domain.tenants import plan_of_promise, promise_for, promise_name, renamed_promise
from router.learning.gate_examples import RiskLabel
from router.learning.training import train_promises
from router.ports.observer import Observer

PROMISES = {"p": 1, promise_name("p", "acme"): 2, promise_name("q", "acme"): 3}


@pytest.mark.parametrize(
    ("plan", "tenant", "kept"),
    [("p", "acme", 2), ("p", "other", 1), ("p", "", 1), ("q", "acme", 3), ("q", "other", None)],
)
def test_promise_for_prefers_the_tenants_own(plan: str, tenant: str, kept: int | None) -> None:
    assert promise_for(PROMISES, plan, tenant) == kept


def test_renamed_promises_follow_their_plan() -> None:
    assert renamed_promise(promise_name("p", "a/b"), {"p": "new"}) == promise_name("new", "a/b")
    assert renamed_promise("p", {"q": "new"}) == "p"
    assert plan_of_promise(promise_name("p", "a/b")) == "p"


def test_feedback_counts_once_for_the_promise_it_belongs_to() -> None:
    promises = {
        name: Promise(PromiseSettings(warm_up=0)) for name in ("p", promise_name("p", "acme"))
    }
    told = [
        RiskLabel("p", 0.9, 0.0, 1.0, LabelSource.AUDIT, tenant) for tenant in ("acme", "x", "y")
    ]
    train_promises(promises, told, Observer())
    assert [promise.status().labels for promise in promises.values()] == [2, 1]
