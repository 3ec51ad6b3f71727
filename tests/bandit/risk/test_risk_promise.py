"""A promise permits, refuses and remembers, and reports its status."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bandit.errors import BadInput, BadOutcome, BadSettings
from bandit.risk import LabelSource, Promise, PromiseSettings, least_labels
from bandit.risk.betting import RiskBets, bad_interval
from bandit.snapshots.codec import Snapshot, pack, unpack

SETTINGS = PromiseSettings()
ONE = PromiseSettings(grid=(0.9,), warm_up=0)
"""A single threshold, from the first label on."""
NAN = math.nan


def told(promise: Promise, score: float, bad: float, times: int, **more: float) -> Promise:
    for _ in range(times):
        promise.observe(score, bad, **more)  # type: ignore[arg-type] # numbers only
    return promise


def mixed(promise: Promise, labels: int, seed: int = 1) -> Promise:
    rng = np.random.default_rng(seed)
    for _ in range(labels):
        score = 1 - 0.2 * rng.random() ** 3
        promise.observe(score, float(rng.random() < 0.5 * (1 - score)))
    return promise


def test_promise_permits_nothing_without_evidence() -> None:
    promise = Promise(SETTINGS)
    assert not promise.permits(1.0)
    assert promise.threshold is None
    assert promise.status().vacuous


def test_least_labels_is_where_the_first_answer_is_permitted() -> None:
    fewest = least_labels(ONE)
    assert fewest > math.log(20) / -math.log(0.95)
    promise = told(Promise(ONE), 0.95, 0.0, fewest - 1)
    assert not promise.permits(1.0)
    promise.observe(0.95, 0.0)
    assert promise.permits(0.9)
    assert not promise.permits(0.89)


def test_labels_below_a_threshold_are_no_evidence_for_it() -> None:
    below, without = told(Promise(ONE), 0.95, 0.0, 60), told(Promise(ONE), 0.95, 0.0, 60)
    told(below, 0.5, 1.0, 200)
    assert below.status().evidence == without.status().evidence


@pytest.mark.parametrize("bad", [0.0, 1.0])
def test_promise_certifies_all_or_nothing_at_the_extremes(bad: float) -> None:
    promise = told(Promise(SETTINGS), 0.99, bad, 400)
    status = promise.status()
    assert promise.permits(0.99) == (bad == 0.0)
    assert status.bad_share == bad
    low, high = status.bad_interval
    assert low <= bad <= high
    assert high - low < 0.05
    assert status.vacuous == (bad == 1.0)


def test_the_loosest_threshold_is_reached_when_nothing_is_bad() -> None:
    status = told(Promise(SETTINGS), 0.3, 0.0, 400).status()
    assert status.threshold == 0.0
    assert status.next_threshold is None
    assert status.labels_needed is None
    assert status.share == 1.0


@pytest.mark.parametrize("score", [NAN, -0.01, 1.01, math.inf])
def test_a_score_outside_the_unit_interval_is_refused(score: float) -> None:
    promise = Promise(SETTINGS)
    for refused in (
        lambda: promise.permits(score),
        lambda: promise.observe(score, 0.0),
        lambda: promise.place(np.array([0.5, score])),
    ):
        with pytest.raises(BadInput):
            refused()


@pytest.mark.parametrize(
    ("bad", "probability", "least"),
    [
        (NAN, 1.0, None),
        (-0.1, 1.0, None),
        (1.1, 1.0, None),
        (0.0, 0.0, None),
        (0.0, NAN, None),
        (0.0, 1.5, None),
        (0.0, 0.1, 0.0),
        (0.0, 0.1, 0.2),
        (0.0, 0.1, NAN),
    ],
)
def test_a_bad_label_is_refused_and_not_learned(
    bad: float, probability: float, least: float | None
) -> None:
    promise = mixed(Promise(SETTINGS), 100)
    before = pack(Snapshot("promise", {}, promise.arrays()))
    with pytest.raises(BadOutcome):
        promise.observe(0.9, bad, probability, least_probability=least)
    assert pack(Snapshot("promise", {}, promise.arrays())) == before


def test_a_tiny_probability_cannot_outweigh_the_others() -> None:
    tiny = Promise(ONE)
    tiny.observe(0.95, 0.0, 1e-12, least_probability=1e-12)
    plain = told(Promise(ONE), 0.95, 0.0, 1)
    assert tiny.status().evidence == plain.status().evidence


def test_a_label_sampled_more_often_weighs_less() -> None:
    often = told(Promise(ONE), 0.95, 0.0, 100, sampling_probability=1.0, least_probability=0.1)
    seldom = told(Promise(ONE), 0.95, 0.0, 10, sampling_probability=0.1, least_probability=0.1)
    assert often.status().evidence == pytest.approx(seldom.status().evidence)


def test_feedback_withdraws_only_where_the_settings_count_it() -> None:
    everyone = frozenset(LabelSource)
    deaf, eager = Promise(ONE), Promise(replace(ONE, evidence=everyone))
    for _ in range(200):
        deaf.observe(0.95, 0.0, source=LabelSource.FEEDBACK)
        eager.observe(0.95, 0.0, source=LabelSource.FEEDBACK)
    assert not deaf.permits(0.95)
    assert eager.permits(0.95)


def test_one_bad_answer_halts_the_promise_until_some_good_ones() -> None:
    promise = told(Promise(ONE), 0.95, 0.0, 300)
    promise.observe(0.95, 1.0)
    assert promise.halted
    assert promise.threshold == 0.9
    assert not promise.permits(0.99)
    assert promise.status().why
    waited = 0
    while promise.halted:
        promise.observe(0.95, 0.0)
        waited += 1
    assert 3 <= waited <= 20
    assert promise.permits(0.95)


def test_repeated_bad_answers_withdraw_all_evidence() -> None:
    """So many good ones before that their mean alone would bear hundreds of bad ones."""
    promise = told(Promise(ONE), 0.95, 0.0, 20_000)
    withdrawn = [promise.observe(0.95, 1.0) for _ in range(12)]
    assert not promise.permits(1.0)
    assert promise.threshold is None or promise.halted
    assert sum(withdrawn) <= 1


def test_a_withdrawn_promise_begins_a_new_epoch() -> None:
    promise = told(Promise(ONE), 0.95, 0.0, 20_000)
    rng = np.random.default_rng(2)
    steps = 0
    while not promise.observe(0.95, float(rng.random() < 0.12)):
        steps += 1
        assert steps < 2_000
    status = promise.status()
    assert (status.epoch, status.labels, status.threshold) == (2, 0, None)
    assert "withdrawn" in status.why
    assert told(promise, 0.95, 0.0, least_labels(ONE)).permits(0.95)


def test_recent_bad_labels_end_a_certificate() -> None:
    """Few of all labels were bad; more of the recent ones were than are promised."""
    promise = told(Promise(replace(ONE, guarded_by=frozenset())), 0.95, 0.0, 10_000)
    for _ in range(60):
        told(told(promise, 0.95, 1.0, 1), 0.95, 0.0, 9)
    status = promise.status()
    assert status.bad_share is not None
    assert status.bad_interval[1] < 0.01
    assert status.threshold is None
    assert "recent" in status.why


def test_status_of_a_vacuous_promise_says_why() -> None:
    settings = replace(SETTINGS, warm_up=5)
    early = told(Promise(settings), 0.95, 0.0, 2).status()
    assert "3 labels only say where to begin" in early.why
    few = told(Promise(ONE), 0.95, 0.0, 20).status()
    assert few.labels_needed is not None
    assert few.labels_needed > least_labels(ONE) - 20
    assert f"about {least_labels(ONE) - 20} more" in few.why
    hopeless = told(told(Promise(ONE), 0.95, 0.0, 90), 0.95, 1.0, 10).status()
    assert hopeless.labels_needed is None
    assert "raise max_bad" in hopeless.why
    assert all(status.vacuous for status in (early, few, hopeless))


def test_status_estimates_the_labels_needed() -> None:
    promise = told(Promise(ONE), 0.95, 0.0, 40)
    needed = promise.status().labels_needed
    assert needed is not None
    told(promise, 0.95, 0.0, least_labels(ONE) - 40)
    assert promise.permits(0.95)
    assert least_labels(ONE) - 40 <= needed <= 4 * least_labels(ONE)


def test_placed_scores_choose_the_start_and_are_no_evidence() -> None:
    scores = np.linspace(0.95, 0.999, 50)
    placed = Promise(SETTINGS)
    placed.place(scores)
    assert placed.status().labels == 0
    assert not placed.permits(1.0)
    assert told(placed, 0.97, 0.0, 120).permits(0.97)
    with pytest.raises(BadInput):
        placed.place(scores)


@pytest.mark.parametrize("labels", [0, 7, 20, 21, 400])
def test_a_promise_is_restored_bit_for_bit(labels: int) -> None:
    """And from there on alike."""
    first, second = mixed(Promise(SETTINGS), labels), Promise(SETTINGS)
    kept = pack(Snapshot("promise", {}, first.arrays()))
    second.restore(dict(unpack(kept).arrays))
    assert pack(Snapshot("promise", {}, second.arrays())) == kept
    assert first.status() == second.status()
    assert mixed(first, 300, 5).status() == mixed(second, 300, 5).status()


def test_a_restored_promise_shares_no_memory_with_its_arrays() -> None:
    arrays = mixed(Promise(SETTINGS), 100).arrays()
    promise = Promise(SETTINGS)
    promise.restore(arrays)
    before = arrays["sums"].copy()
    mixed(promise, 50)
    assert np.array_equal(arrays["sums"], before)


@pytest.mark.parametrize("name", ["sums", "recent", "first", "counts", "guard", "epoch", "grid"])
def test_damaged_arrays_are_refused_and_change_nothing(name: str) -> None:
    good = mixed(Promise(SETTINGS), 100).arrays()
    promise = mixed(Promise(SETTINGS), 300, 8)
    before = pack(Snapshot("promise", {}, promise.arrays()))
    for damaged in (np.full_like(good[name], -1.0), np.full_like(good[name], NAN), np.zeros(1)):
        with pytest.raises(ValueError, match=r"."):
            promise.restore({**good, name: damaged})
    with pytest.raises(KeyError):
        promise.restore({key: array for key, array in good.items() if key != name})
    assert pack(Snapshot("promise", {}, promise.arrays())) == before


def test_evidence_for_another_share_is_refused() -> None:
    arrays = mixed(Promise(SETTINGS), 100).arrays()
    with pytest.raises(ValueError, match="other thresholds"):
        Promise(replace(SETTINGS, max_bad=0.02)).restore(arrays)
    with pytest.raises(ValueError, match="max_bad"):
        Promise(replace(ONE, max_bad=0.02)).restore(Promise(ONE).arrays())


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_bad": 0.0},
        {"max_bad": NAN},
        {"confidence": 1.0},
        {"grid": ()},
        {"grid": (0.5, 0.9)},
        {"grid": (NAN,)},
        {"grid": 1},
        {"warm_up": -1},
        {"evidence": frozenset()},
        {"labels_between_alarms": math.inf},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadSettings):
        PromiseSettings(**wrong)  # type: ignore[arg-type] # wrong on purpose


@pytest.mark.slow
def test_promise_memory_does_not_grow_with_labels() -> None:
    promise = mixed(Promise(SETTINGS), 1_000)
    size = len(pack(Snapshot("promise", {}, promise.arrays())))
    rng = np.random.default_rng(3)
    scores, bad = rng.random(100_000), rng.random(100_000) < 0.01
    for score, failed in zip(scores.tolist(), bad.tolist(), strict=True):
        promise.observe(score, failed, 0.05, source=LabelSource.AUDIT)
    arrays = promise.arrays()
    assert abs(len(pack(Snapshot("promise", {}, arrays))) - size) < 200
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert promise.threshold == 0.0


def test_wealth_of_the_bets_is_at_most_fair() -> None:
    """One label at the allowed risk multiplies what is owned by 1 in expectation, for every q."""
    bets = RiskBets(0.05)
    good, bad = np.exp(bets.log_wealth(np.ones(2), np.array([0.0, 1.0])))
    assert 0.05 * bad + 0.95 * good == pytest.approx(1.0)
    half = math.exp(bets.log_wealth_of(1.0, 0.5))
    assert half <= 0.5 * (good + bad)


def test_bad_interval_narrows_about_the_share() -> None:
    widths = []
    for n in (10, 100, 1_000, 10_000):
        low, high = bad_interval(n, 0.03 * n, 0.95)
        assert 0 <= low < 0.03 < high <= 1
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.015
    assert bad_interval(0.0, 0.0, 0.95) == (0.0, 1.0)
