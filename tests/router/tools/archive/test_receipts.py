"""A receipt describes one decision."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.tools.archive.receipts import receipt_of, show
from tests.contract.samples import CHOICE, RECORD

SNAPSHOTS = {4: "0-10", 5: "0-20", 6: "0-30"}


def test_options_come_by_probability_with_what_was_expected_of_them() -> None:
    found = receipt_of(RECORD, None, {})
    assert [(o.plan, o.probability, o.quality) for o in found.options] == [
        ("cheap", 0.75, 0.6),
        ("reasoning", 0.25, 0.9),
    ]


def test_what_it_saved_is_against_the_dearest() -> None:
    found = receipt_of(RECORD, None, {})
    assert found.yardstick == "reasoning"
    assert found.saved_usd == pytest.approx(0.02 - 0.0005)


def test_nothing_is_saved_where_nothing_was_answered() -> None:
    assert receipt_of(replace(RECORD, attempts=()), None, {}).saved_usd is None


@pytest.mark.parametrize(
    ("position", "version"), [("0-9", 4), ("0-10", 4), ("0-11", 5), ("0-31", None), (None, None)]
)
def test_the_first_snapshot_that_knows_it(position: str | None, version: int | None) -> None:
    assert receipt_of(RECORD, position, SNAPSHOTS).learned_by == version


def test_a_cached_answer_decided_nothing() -> None:
    found = receipt_of(replace(RECORD, choice=None), None, {})
    assert (found.options, found.saved_usd) == ((), None)


def test_a_policy_without_estimates_saves_nothing_that_is_known() -> None:
    found = receipt_of(replace(RECORD, choice=replace(CHOICE, expected=())), None, {})
    assert found.saved_usd is None
    assert found.options[0].utility is None


def test_it_says_whether_evidence_was_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    for share, said in ((1.0, "evidence: drawn, with probability 1.000"), (0.0, "")):
        show(receipt_of(replace(RECORD, evidence_share=share), None, {}))
        told = [line for line in capsys.readouterr().out.splitlines() if "evidence" in line]
        assert told == [said] * bool(said)
