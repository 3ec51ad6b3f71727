"""Context maps and prompt features."""

from __future__ import annotations

import numpy as np
import pytest
from prompts import embeddings, facts

from bandit import ContextMap, PromptFacts
from bandit.context.context_map import AXES, CLUSTERS, TOP_CLUSTERS
from bandit.context.features import NAMES, raw_features
from bandit.context.fitting import MIN_PROMPTS, fit, k_means, principal_axes
from bandit.errors import BadContext, CorruptContextMap

WIDTH = 384


@pytest.fixture(scope="module")
def fitted() -> ContextMap:
    return fit(embeddings(400), facts(400), seed=1)


def test_the_shipped_map_builds_contexts() -> None:
    shipped = ContextMap.default()
    assert (shipped.shape.clusters, shipped.shape.axes) == (CLUSTERS, AXES)
    assert len(shipped.to_bytes()) < 200_000
    rng = np.random.default_rng(0)
    point = rng.normal(size=WIDTH).astype(np.float32)
    context = shipped.build(point / np.linalg.norm(point), PromptFacts("Why is the sky blue?"))
    assert context.version == shipped.version
    assert context.membership.shape == (CLUSTERS,)
    assert context.membership.sum() == pytest.approx(1)
    assert context.membership.min() >= 0
    assert np.count_nonzero(context.membership) <= TOP_CLUSTERS
    assert context.projection.shape == (AXES,)
    assert context.features.shape == (len(NAMES),)
    assert abs(context.features).max() <= 1.5


def test_membership_is_the_softmax_of_distances(fitted: ContextMap) -> None:
    point = embeddings(1, seed=5)[0]
    distances = ((fitted.centroids - point) ** 2).sum(axis=1) / 2 / 0.03
    weights = np.exp(-(distances - distances.min()))
    weights[np.argsort(weights)[:-TOP_CLUSTERS]] = 0
    assert fitted.membership(point) == pytest.approx(weights / weights.sum(), abs=1e-4)


def test_projections_are_centred_and_of_unit_mean_square_norm(fitted: ContextMap) -> None:
    rows = embeddings(400)
    projected = np.array([fitted.build(row, PromptFacts("x")).projection for row in rows])
    assert projected.mean(axis=0) == pytest.approx(np.zeros(AXES), abs=0.01)
    assert (projected**2).sum(axis=1).mean() == pytest.approx(1, abs=0.01)


def test_axes_are_made_as_long_as_they_are_in_space_by_the_scales(fitted: ContextMap) -> None:
    rows = embeddings(400)
    scales = np.array(fitted.shape.axis_scales)
    projected = scales * np.array([fitted.projection(row) for row in rows])
    unit = fitted.axes / np.linalg.norm(fitted.axes, axis=1)[:, None]
    plain = (rows - fitted.centre) @ unit.T
    factor = projected / plain
    assert factor == pytest.approx(np.full(factor.shape, factor[0, 0]), rel=0.01)
    assert (projected**2).sum(axis=1).mean() == pytest.approx(1, abs=0.02)


def test_features_are_centred(fitted: ContextMap) -> None:
    rows = np.array([fitted.features(fact) for fact in facts(400)])
    assert rows.mean(axis=0) == pytest.approx(np.zeros(len(NAMES)), abs=0.01)
    assert abs(rows).max() <= 1.5


def test_axes_damp_the_strong_directions() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2_000, 3)) * np.array([16.0, 1.0, 0.01])
    axes = principal_axes(rows - rows.mean(axis=0), 2)
    spread = (rows @ axes.T).std(axis=0)
    assert spread[0] / spread[1] == pytest.approx(4, rel=0.05)


def test_k_means_finds_separate_centres() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    rows = centres[rng.integers(3, size=300)] + 0.1 * rng.normal(size=(300, 2))
    found = k_means(rows, 3, rng)
    gaps = np.linalg.norm(found[:, None] - centres, axis=2)
    assert gaps.min(axis=0).max() < 0.1


def test_k_means_survives_fewer_points_than_centres() -> None:
    rows = np.zeros((10, 2))
    assert np.isfinite(k_means(rows, 4, np.random.default_rng(0))).all()


def test_the_same_prompts_and_seed_give_the_same_version(fitted: ContextMap) -> None:
    again = fit(embeddings(400), facts(400), seed=1)
    other = fit(embeddings(400), facts(400), seed=2)
    assert again.version == fitted.version != other.version


def test_a_map_loaded_from_its_file_is_the_same(fitted: ContextMap, tmp_path) -> None:
    path = tmp_path / "map.npz"
    fitted.save(path)
    loaded = ContextMap.load(path)
    point = embeddings(1)[0]
    one, two = (m.build(point, PromptFacts("x")) for m in (fitted, loaded))
    assert loaded.version == fitted.version
    assert (one.projection == two.projection).all()
    assert (one.membership == two.membership).all()


def test_damaged_maps_are_refused(fitted: ContextMap, tmp_path) -> None:
    data = fitted.to_bytes()
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]
    for bad in (b"", b"nonsense", data[:-30], data[:300], flipped):
        with pytest.raises(CorruptContextMap):
            ContextMap.from_bytes(bad)
    with pytest.raises(CorruptContextMap, match="path"):
        ContextMap.load(tmp_path / "nowhere.npz")


def test_arrays_that_do_not_fit_are_refused(fitted: ContextMap) -> None:
    names = ("centroids", "centre", "axes", "feature_means", "feature_scales")
    arrays = {name: getattr(fitted, name) for name in names}
    holed = fitted.centre.copy()
    holed[0] = np.inf
    for bad in (
        {"centre": fitted.centre[:-1]},
        {"centre": holed},
        {"feature_scales": fitted.feature_scales * 0},
        {"centroids": fitted.centroids[:2]},
    ):
        with pytest.raises(CorruptContextMap):
            ContextMap.of(arrays | bad)
    with pytest.raises(CorruptContextMap, match="lacks"):
        ContextMap.of({"centre": fitted.centre})


def test_bad_embeddings_are_refused(fitted: ContextMap) -> None:
    point = embeddings(1)[0]
    with pytest.raises(BadContext, match="shape"):
        fitted.build(point[:-1], PromptFacts("x"))
    point[3] = np.nan
    with pytest.raises(BadContext, match="finite"):
        fitted.build(point, PromptFacts("x"))


def test_fit_refuses_too_few_prompts() -> None:
    with pytest.raises(BadContext, match="at least"):
        fit(embeddings(MIN_PROMPTS - 1), facts(MIN_PROMPTS - 1))
    with pytest.raises(BadContext):
        fit(embeddings(MIN_PROMPTS), facts(MIN_PROMPTS + 1))
    rows = embeddings(MIN_PROMPTS)
    rows[0, 0] = np.nan
    with pytest.raises(BadContext, match="finite"):
        fit(rows, facts(MIN_PROMPTS))


@pytest.mark.parametrize(
    ("text", "feature"),
    [
        ("```python\nprint(1)\n```", "code"),
        ("How many apples are left in total?", "math_words"),
        ("Which?\nA. one\nB. two\nC. three\nD. four", "multiple_choice"),
        ("Which? (A) one (B) two (C) three", "multiple_choice"),
        ("add 12 and 3,400.5", "numbers"),
        ("Why", "log_length"),
        ("Why?", "question"),
        ("a\nb", "newlines"),
        ("1234", "digit_share"),
        ("Explain gravity", "asks_to_explain"),
        ("Choose the best answer", "asks_to_choose"),
    ],
)
def test_each_feature_rises_with_what_it_is_named_for(text: str, feature: str) -> None:
    index = NAMES.index(feature)
    assert raw_features(PromptFacts(text))[index] > 0
    assert raw_features(PromptFacts(""))[index] == 0


def test_many_numbers_are_counted_in_proportion_up_to_a_bound() -> None:
    index = NAMES.index("many_numbers")
    found = [raw_features(PromptFacts("7 " * count))[index] for count in (0, 3, 9, 900)]
    assert found == pytest.approx([0, 0.3, 0.9, 1.5])


def test_features_hold_the_facts_beside_the_text() -> None:
    plain = raw_features(PromptFacts("x"))
    rich = raw_features(PromptFacts("x", turns=5, tools=2, wants_json=True))
    assert (
        np.flatnonzero(rich != plain) == [NAMES.index(n) for n in ("turns", "tools", "wants_json")]
    ).all()


def test_features_read_huge_prompts_at_their_ends_only() -> None:
    huge = "word " * 400_000
    features = raw_features(PromptFacts(huge + "?"))
    assert features[NAMES.index("question")] == 1
    assert abs(features).max() < 3
