"""QualityTrees beside the linear model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from streams import QUALITY_ONLY, SETTINGS, SHAPE, VERSION, actions, context, outcome

from bandit import Action, Context, Policy, load_policy, make_policy
from bandit.adaptive.trees import EARLY_FITS, FIT_EVERY, HALF, MEMORY, MOST_SHARE, QualityTrees
from bandit.context.view import ContextView, ContextViewer
from bandit.errors import CorruptSnapshot, VersionMismatch
from bandit.snapshots.codec import pack, unpack

WITH_TREES = replace(SETTINGS, trees=20, vw=frozenset())
VIEWER = ContextViewer(SHAPE, VERSION)
ROWS = np.array([0, 1])
FIRST = min(EARLY_FITS)


def crossed(seen: Context) -> int:
    """Which of two actions is right: no line through the features tells."""
    return int(seen.features[0] * seen.features[1] > 0)


def filled(count: int = FIRST, slots: int = 2) -> tuple[QualityTrees, list[ContextView]]:
    """Each slot as often as the others; right where `crossed` says so."""
    rng = np.random.default_rng(0)
    trees, views = QualityTrees(SHAPE, 20), []
    trees.grow(slots)
    for step in range(count):
        seen = context(rng)
        views.append(VIEWER.view(seen))
        told = float(crossed(seen) == step % slots), 0.5
        trees.learn(views[-1], step % slots, told, 1.0)
    return trees, views


def shifts(trees: QualityTrees, views: list[ContextView], rows: np.ndarray = ROWS) -> np.ndarray:
    return np.array([trees.shift(view, rows, np.full(len(rows), 0.5)) for view in views])


def taught(policy: Policy, count: int, seed: int = 0) -> Policy:
    rng = np.random.default_rng(seed)
    for step in range(count):
        seen = context(rng)
        policy.learn([outcome(actions(2)[step % 2], seen, float(crossed(seen) == step % 2))])
    return policy


def adaptive(trees: int = WITH_TREES.trees) -> Policy:
    settings = replace(WITH_TREES, trees=trees)
    return make_policy("adaptive", settings, VERSION, np.random.default_rng(1))


def test_trees_before_the_first_fit_shift_nothing() -> None:
    trees, views = filled(FIRST - 1)
    assert (shifts(trees, views) == 0).all()


def test_trees_find_a_step_that_no_line_tells() -> None:
    trees, views = filled(1_200)
    right = np.array([view.features[0] * view.features[1] > 0 for view in views])
    ahead = shifts(trees, views) @ np.array([-1.0, 1.0])
    assert ahead[right].mean() > 0.08
    assert ahead[~right].mean() < -0.08


def test_policy_with_trees_expects_the_step() -> None:
    rng = np.random.default_rng(5)
    contexts = [context(rng) for _ in range(60)]
    hits = {}
    for count in (0, 20):
        policy = taught(adaptive(count), 800)
        found = [policy.decide(seen, actions(2), QUALITY_ONLY).estimates for seen in contexts]
        best = [int(each["a1"].quality > each["a0"].quality) for each in found]
        hits[count] = sum(b == crossed(seen) for b, seen in zip(best, contexts, strict=True))
    assert hits[20] >= 48
    assert hits[20] > hits[0] + 10


def test_trees_shift_nothing_of_an_unknown_action() -> None:
    trees, views = filled()
    trees.grow(3)
    assert (shifts(trees, views, np.array([-1, 2])) == 0).all()
    assert (shifts(trees, views, np.array([-1, 1]))[:, 1] != 0).any()


def test_share_of_the_trees_grows_with_an_actions_outcomes() -> None:
    """Both slots' quality is .9 without doubt; at n outcomes of two actions the rest is known."""
    rng, trees = np.random.default_rng(0), QualityTrees(SHAPE, 20)
    trees.grow(2)
    for step in range(FIRST):
        trees.learn(VIEWER.view(context(rng)), int(step % 10 == 0), (0.9, 0.5), 1.0)
    heard = np.array([FIRST * 0.9, FIRST * 0.1])
    expected = MOST_SHARE * heard / (heard + 2 * HALF) * 0.4
    assert trees.shift(VIEWER.blank(), ROWS, np.full(2, 0.5)) == pytest.approx(expected)


def test_trees_keep_the_levels_of_many_actions_apart() -> None:
    """Twelve actions, each as good as it always is: the trees share, the levels do not."""
    rng, trees = np.random.default_rng(0), QualityTrees(SHAPE, 20)
    levels = np.linspace(0.1, 0.9, 12)
    trees.grow(12)
    views = [VIEWER.view(context(rng)) for _ in range(500)]
    for step, view in enumerate(views):
        trees.learn(view, step % 12, (levels[step % 12], 0.5), 1.0)
    even = np.full(12, 0.5)
    moved = np.array([trees.shift(view, np.arange(12), even) for view in views]).mean(axis=0)
    heard = np.bincount(np.arange(500) % 12)
    share = MOST_SHARE * heard / (heard + 12 * HALF)
    assert moved == pytest.approx(share * (levels - 0.5), abs=0.002)


def test_trees_shift_nothing_of_a_forgotten_action_until_the_next_fit() -> None:
    trees, views = filled()
    trees.forget(1)
    assert (shifts(trees, views)[:, 1] == 0).all()
    assert (shifts(trees, views)[:, 0] != 0).any()
    for view in views:
        trees.learn(view, 1, (1.0, 0.5), 1.0)
    assert shifts(trees, views)[:, 1].min() > 0


def test_trees_ignore_outcomes_that_left_the_memory() -> None:
    """An action that has one of its 500 outcomes left in memory has next to no share."""
    rng, trees = np.random.default_rng(0), filled(1_000)[0]
    for step in range(MEMORY + FIT_EVERY):
        trees.learn(VIEWER.view(context(rng)), int(step == 800), (0.2, 0.5), 1.0)
    assert trees.arrays()["heard"][1] == 1.0
    moved = trees.shift(VIEWER.blank(), ROWS, np.array([0.2, 0.9]))
    assert abs(moved[1]) < 0.01


def test_trees_shift_nothing_of_an_action_that_left_the_memory() -> None:
    rng, trees = np.random.default_rng(0), filled()[0]
    trees.grow(3)
    for _ in range(MEMORY + FIT_EVERY):
        trees.learn(VIEWER.view(context(rng)), 2, (1.0, 0.95), 1.0)
    moved = trees.shift(VIEWER.blank(), np.arange(3), np.full(3, 0.95))
    assert (moved[:2] == 0).all()
    assert 0 <= moved[2] < 0.05


def test_trees_put_a_correction_in_the_place_of_its_outcome() -> None:
    trees, views = filled(10)
    old = float(trees.arrays()["targets"][4, 0])
    trees.correct(views[4], 0, (old, 0.3))
    assert trees.arrays()["targets"][4].tolist() == [0.3, 1.0]
    trees.correct(views[4], 0, (0.3, None))
    assert trees.arrays()["targets"][4].tolist() == [0.3, 0.0]


def test_trees_withdraw_one_outcome_per_correction() -> None:
    trees, views = filled(10)
    for _ in range(2):
        trees.learn(views[4], 0, (0.3, 0.5), 1.0)
    for left in ([0.0, 1.0], [0.0, 0.0]):
        trees.correct(views[4], 0, (0.3, None))
        assert trees.arrays()["targets"][-2:, 1].tolist() == left


def test_trees_ignore_a_correction_of_an_outcome_not_remembered() -> None:
    trees, views = filled(10)
    before = trees.arrays()["targets"].copy()
    trees.correct(views[4], 1, (0.1234, 0.5))
    assert (trees.arrays()["targets"] == before).all()


def test_trees_limit_lowers_the_weight_of_outcomes() -> None:
    trees, _ = filled()
    trees.limit(25.0)
    arrays = trees.arrays()
    assert arrays["heard"].tolist() == [25.0, 25.0]
    assert arrays["targets"][:, 1].sum() == pytest.approx(50.0)


def test_trees_are_not_fitted_to_one_action_alone() -> None:
    rng, trees = np.random.default_rng(0), QualityTrees(SHAPE, 20)
    trees.grow(1)
    for _ in range(FIRST):
        trees.learn(VIEWER.view(context(rng)), 0, (1.0, 0.5), 1.0)
    assert (trees.shift(VIEWER.blank(), np.array([0]), np.zeros(1)) == 0).all()


def test_a_policy_with_trees_goes_on_from_its_snapshot_bit_for_bit() -> None:
    policy = taught(adaptive(), FIRST + 20)
    twin = load_policy(policy.save(), WITH_TREES, VERSION)
    assert twin.save() == policy.save()
    assert taught(twin, 60, seed=3).save() == taught(policy, 60, seed=3).save()


def test_a_snapshot_with_trees_is_refused_by_settings_without() -> None:
    payload = adaptive().save()
    with pytest.raises(VersionMismatch, match="trees"):
        load_policy(payload, replace(WITH_TREES, trees=0), VERSION)


@pytest.mark.parametrize("name", ["heard", "known", "above", "added", "forest.children"])
def test_a_snapshot_with_a_damaged_array_of_trees_is_refused(name: str) -> None:
    snapshot = unpack(taught(adaptive(), FIRST).save())
    arrays = {**snapshot.arrays, f"quality.trees.{name}": np.full((1, 1), 7.0)}
    with pytest.raises(CorruptSnapshot):
        load_policy(pack(replace(snapshot, arrays=arrays)), WITH_TREES, VERSION)


@pytest.mark.parametrize(("name", "value"), [("forest.value", 1e6), ("heard", -1), ("above", 7)])
def test_a_snapshot_with_absurd_numbers_of_trees_is_refused(name: str, value: float) -> None:
    snapshot = unpack(taught(adaptive(), FIRST).save())
    absurd = snapshot.arrays[f"quality.trees.{name}"] * 0 + value
    arrays = {**snapshot.arrays, f"quality.trees.{name}": absurd}
    with pytest.raises(CorruptSnapshot):
        load_policy(pack(replace(snapshot, arrays=arrays)), WITH_TREES, VERSION)


def test_no_trees_are_grown_where_the_settings_have_none() -> None:
    action = Action("a0", 0.001)
    policy = adaptive(0)
    policy.learn([outcome(action, context(np.random.default_rng(0)), 1.0)])
    assert not unpack(policy.save()).part("quality.trees")
