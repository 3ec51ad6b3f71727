"""The half-width of an interval, by formulas done by hand and by how often it covers the truth."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from bandit.risk import PromiseSettings, least_labels
from bandit.types import Vector
from router.tools.calibrate.analysis.certificate import certify, provable
from router.tools.calibrate.analysis.cross_validation import CostWeightResult
from router.tools.calibrate.analysis.frontier import Strategy
from router.tools.calibrate.analysis.goal import Goal, Progress
from router.tools.calibrate.analysis.precision import Precision, Strata
from router.tools.calibrate.collect.picks import apportioned

Z = 1.959964


def test_one_cluster_has_the_plain_interval() -> None:
    values = np.random.default_rng(0).normal(0.2, 0.13, 300)
    found = Strata.of([4] * 300).precision(values)
    assert found.mean == pytest.approx(values.mean())
    assert found.half_width() == pytest.approx(Z * values.std(ddof=1) / np.sqrt(300), rel=1e-6)
    assert found.half_width() == pytest.approx(0.0147, abs=0.001)
    assert found.needed(found.half_width()) == 300


def test_the_estimate_weighs_clusters_by_their_shares_of_the_file() -> None:
    """Cochran's formulas for two clusters of 900 and 100 prompts, of which two each are known."""
    strata = Strata.of([0, 0, 1, 1], {0: 900, 1: 100})
    found = strata.precision(np.array([0.0, 1.0, 4.0, 6.0]))
    assert strata.weights.tolist() == pytest.approx([0.45, 0.45, 0.05, 0.05])
    assert found.mean == pytest.approx(0.9 * 0.5 + 0.1 * 5.0)
    within = 0.9**2 * 0.5 / 2 + 0.1**2 * 2.0 / 2
    spread = 0.9 * (0.5 - 0.95) ** 2 + 0.1 * (5 - 0.95) ** 2
    by_chance = 0.9 * 0.1 * 0.5 / 2 + 0.1 * 0.9 * 2.0 / 2
    variance = within + (spread - by_chance) / 1000
    assert found.deviation == pytest.approx(np.sqrt(variance))


def test_clusters_that_tell_values_narrow_the_interval() -> None:
    rng = np.random.default_rng(1)
    clusters = np.repeat([0, 1], 100)
    values = clusters + rng.normal(0, 0.1, 200)
    sizes = {0: 10_000, 1: 10_000}
    plain = Strata.of([0] * 200, {0: 20_000}).precision(values)
    assert (
        Strata.of(clusters.tolist(), sizes).precision(values).half_width() < plain.half_width() / 4
    )


@pytest.mark.parametrize(("file", "picks"), [(2_000, 100), (2_000, 300), (300, 300), (400, 150)])
def test_intervals_cover_the_truth(file: int, picks: int) -> None:
    """Sparse differences, as of a policy that mostly does what one plan does; 24 clusters."""
    rng = np.random.default_rng(2)
    shares, rates = rng.dirichlet(np.ones(24)), rng.random(24) * 0.5
    truth, draws = float(shares @ rates) * 0.09, 400
    covered = 0
    for _ in range(draws):
        clusters, counts = np.unique(rng.choice(24, size=file, p=shares), return_counts=True)
        sizes = dict(zip(clusters.tolist(), counts.tolist(), strict=True))
        taken = list(islice(apportioned(sizes), picks))
        values = sparse(rates[taken], rng)
        found = Strata.of(taken, sizes).precision(values).interval()
        covered += found.low <= truth <= found.high
    assert 0.92 * draws <= covered <= 0.985 * draws


def sparse(rates: Vector, rng: np.random.Generator) -> Vector:
    """Returns -.9 or .9 at these rates, .9 a little oftener, else 0."""
    signs = rng.choice([-0.9, 0.9], p=[0.45, 0.55], size=len(rates))
    return np.where(rng.random(len(rates)) < rates, signs, 0.0)


@pytest.mark.parametrize("between", [0.0, 0.002])
def test_the_prompts_needed_give_the_interval_wanted(between: float) -> None:
    found = Precision(0.0, 300, 4_000, 0.017, between)
    for wanted in (0.02, 0.01, 0.005):
        count = found.needed(wanted)
        assert count < 4_000
        at_it = Precision(0.0, count, 4_000, 0.017, between)
        short = Precision(0.0, count - 1, 4_000, 0.017, between)
        assert at_it.half_width() <= wanted + 1e-9
        assert short.half_width() > wanted - 1e-9


def test_a_file_that_is_too_small_says_how_large_it_must_be() -> None:
    found = Precision(0.0, 300, 500, 0.017, 0.002)
    needed = found.needed(0.005)
    assert needed > 500
    assert Precision(0.0, needed, needed, 0.017, 0.002).half_width() <= 0.005 + 1e-9


def test_no_difference_among_n_prompts_is_not_known_without_error() -> None:
    best = Strategy("best", "plan", np.tile([0.9, 0.01, 0.8], (100, 1)))
    other = Strategy("other", "plan", np.tile([0.4, 0.01, 0.3], (100, 1)))
    always = CostWeightResult(0.1, best.numbers, {"best": 1.0, "other": 0.0})
    strata = Strata.of([0] * 100)
    found = certify(always, [other, best], strata, {})
    assert found.gain.against == "best"
    assert found.gain.precision.half_width() == pytest.approx(Z * 0.5 / 100, rel=1e-6)
    assert found.gain.precision.needed(0.005) == 196
    assert [(one.what, one.certified) for one in found.others] == [("always other", "worse")]


def test_promises_below_what_labels_can_prove() -> None:
    settings = PromiseSettings()
    least = least_labels(settings)
    bound = provable(settings, least)
    assert bound == pytest.approx(settings.max_bad, rel=0.02)
    many = provable(settings, 10 * least)
    assert many is not None
    assert many < settings.max_bad / 5
    assert provable(settings, 2) is None


def at(picked: int, within: float, *, left_usd: float = 10.0, refused: int = 0) -> Progress:
    return Progress(
        picked=picked,
        file=1_000,
        complete=picked,
        grew=True,
        precision=Precision(0.0, picked, 1_000, within, 0.0),
        spent_usd=0.01 * picked,
        left_usd=left_usd,
        refused=refused,
    )


def test_a_goal_asks_for_what_its_interval_takes_and_no_more() -> None:
    goal = Goal(half_width=0.01)
    assert goal.first(1_000) == 100
    assert goal.first(60) == 60
    assert goal.next(at(100, 0.0045)) == 173
    assert goal.next(at(100, 0.017)) == 200
    assert goal.next(at(654, 0.017)) is None
    assert goal.next(at(1_000, 1.0)) is None
    assert goal.next(at(100, 0.017, refused=1)) is None
    assert Goal(prompts=30).first(1_000) == 30
    assert Goal(prompts=3_000).first(1_000) == 1_000
    assert Goal(prompts=30).next(at(30, 1.0)) is None


def test_what_a_goal_lacks() -> None:
    outcome = Goal(half_width=0.01).outcome(at(1_000, 0.04, left_usd=1.0))
    assert outcome is not None
    assert not outcome.reached
    assert (outcome.needed, outcome.file_lacks) == (1_537, 537)
    assert outcome.cost_usd == pytest.approx(5.37)
    assert outcome.budget_lacks_usd == pytest.approx(4.37)
    assert "the file is short of 537 prompts" in outcome.text
    assert "the budget is short of about $4.37" in outcome.text
    done = Goal(half_width=0.01).outcome(at(1_000, 0.01))
    assert done is not None
    assert (done.reached, done.cost_usd, done.file_lacks, done.budget_lacks_usd) == (True, 0, 0, 0)
