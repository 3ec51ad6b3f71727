"""Promises are kept while risks are steady, and are made soon."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from promises import MOST_BROKEN, REPLAYS, SETTINGS, Risk, play

from bandit.risk import Promise, PromiseSettings

ONE = replace(SETTINGS, grid=(0.5,), warm_up=0)


def calibrated(score: float, _: float) -> float:
    return 1 - score


def boastful(score: float, _: float) -> float:
    """Much worse than the score says: 0.1 over all."""
    return min(1.0, 0.02 + 0.8 * (1 - score))


def backward(score: float, _: float) -> float:
    """The better the score, the worse the answer."""
    return 0.1 - 0.3 * (1 - score)


def useless(_: float, __: float) -> float:
    """The score says nothing, and the risk is just above what is promised."""
    return 0.06


@pytest.mark.parametrize("risk", [calibrated, boastful, backward, useless])
@pytest.mark.slow
def test_promise_is_kept_for_steady_risks(risk: Risk) -> None:
    """No threshold of a higher risk is ever certified, at any moment, in nearly all replays."""
    played = [play(seed, risk, 150, 0.2) for seed in range(REPLAYS)]
    assert sum(one.broken for one in played) <= MOST_BROKEN
    judged = [one for one in played if one.accepted >= 100]
    assert sum(one.share > SETTINGS.max_bad for one in judged) <= MOST_BROKEN


@pytest.mark.slow
def test_a_risk_of_exactly_what_is_promised_is_certified_seldom() -> None:
    """The hardest case of all, at a single threshold, looked at after each of 400 labels."""
    ever = 0
    for seed in range(REPLAYS):
        rng, promise = np.random.default_rng(seed), Promise(ONE)
        for bad in rng.random(400) < SETTINGS.max_bad:
            promise.observe(0.9, float(bad))
            if promise.threshold is not None:
                ever += 1
                break
    assert 0 < ever <= MOST_BROKEN


@pytest.mark.parametrize(
    ("max_bad", "risk", "labels", "least"),
    [(0.05, 0.01, 250, 0.85), (0.05, 0.02, 700, 0.85), (0.02, 0.002, 500, 0.85)],
)
def test_promise_certifies_low_risks_within_so_many_labels(
    max_bad: float, risk: float, labels: int, least: float
) -> None:
    """Certified within so many labels in so large a share of replays."""
    reached = 0
    settings = PromiseSettings(max_bad=max_bad)
    for seed in range(60):
        rng, promise = np.random.default_rng(seed), Promise(settings)
        for bad in rng.random(labels) < risk:
            promise.observe(1 - 0.4 * max_bad, float(bad))
            if promise.threshold is not None:
                reached += 1
                break
    assert reached >= least * 60


@pytest.mark.slow
def test_a_risk_above_what_is_promised_at_every_threshold_is_not_certified() -> None:
    certified = 0
    for seed in range(60):
        rng, promise = np.random.default_rng(seed), Promise(SETTINGS)
        for score, luck in rng.random((1_000, 2)):
            promise.observe(1 - 0.1 * score, float(luck < 0.06))
        certified += promise.threshold is not None
        assert promise.status().vacuous == (promise.threshold is None)
    assert certified <= 1


def test_oversampled_risky_answers_break_no_promise() -> None:
    """Lower scores are labelled ten times as often; weighed or not, the loosest is not certified.

    Scores of 0.99 are bad in 1 %, those of 0.6 in 40 %: 0.088 together, at a fifth of these.
    """
    settings = replace(SETTINGS, grid=(0.5,), warm_up=0)
    for least in (None, 0.1):
        ever = 0
        for seed in range(60):
            rng, promise = np.random.default_rng(seed), Promise(settings)
            for low, luck, labelled in rng.random((800, 3)) < (0.2, 0.4, 0.1):
                bad = luck if low else bool(rng.random() < 0.01)
                if low or labelled:
                    score, share = (0.6, 1.0) if low else (0.99, 0.1)
                    promise.observe(score, float(bad), share, least_probability=least)
                ever += promise.threshold is not None
        assert ever == 0
