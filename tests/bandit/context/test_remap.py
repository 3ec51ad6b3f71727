"""Contexts of an earlier map, read under a new one."""

from __future__ import annotations

import io

import numpy as np
import pytest
from prompts import embeddings, facts

from bandit import ContextMap
from bandit.context.fitting import fit
from bandit.context.remap import MOST_BRIDGES, Bridge, Refit, bridge_from
from bandit.errors import BadContext, CorruptContextMap, VersionMismatch
from bandit.types import Context

ROWS = embeddings(900, seed=4)
FACTS = facts(900)


@pytest.fixture(scope="module")
def old() -> ContextMap:
    return fit(ROWS[:300], FACTS[:300], seed=1)


@pytest.fixture(scope="module")
def made(old: ContextMap) -> Refit:
    new = fit(ROWS[300:600], FACTS[300:600], seed=2)
    return Refit(new, (bridge_from(old, ROWS[300:600]),), np.arange(64.0).reshape(32, 2))


def test_remap_gives_nearly_the_context_of_the_new_map(old: ContextMap, made: Refit) -> None:
    told, true = [], []
    for row, fact in zip(ROWS[600:], FACTS[600:], strict=True):
        told.append(made.remap.context(old.build(row, fact)))
        true.append(made.map.build(row, fact))
    assert {context.version for context in told} == {made.map.version}
    same = [a.membership.argmax() == b.membership.argmax() for a, b in zip(told, true, strict=True)]
    assert np.mean(same) > 0.8
    given = np.array([context.projection for context in true])
    guessed = np.array([context.projection for context in told])
    left = ((given - guessed) ** 2).sum() / ((given - given.mean(axis=0)) ** 2).sum()
    assert left < 0.3
    for a, b in zip(told, true, strict=True):
        assert a.features == pytest.approx(b.features, abs=2e-3)
        assert a.membership.sum() == pytest.approx(1)


def test_remap_leaves_contexts_of_the_new_map_alone(made: Refit) -> None:
    context = made.map.build(ROWS[0], FACTS[0])
    assert made.remap.context(context) is context


def test_remap_refuses_contexts_of_unknown_maps(made: Refit) -> None:
    context = made.map.build(ROWS[0], FACTS[0])
    strange = Context(context.membership, context.projection, context.features, "0" * 16)
    with pytest.raises(VersionMismatch):
        made.remap.context(strange)


@pytest.mark.parametrize("part", ["membership", "projection", "features"])
@pytest.mark.parametrize("value", [np.zeros(3), np.array([np.nan])])
def test_contexts_that_do_not_fit_their_version_are_refused(
    old: ContextMap, made: Refit, part: str, value: np.ndarray
) -> None:
    good = old.build(ROWS[0], FACTS[0])
    parts = {name: getattr(good, name) for name in ("membership", "projection", "features")}
    parts[part] = value if len(value) > 1 else np.full(len(parts[part]), np.nan)
    with pytest.raises(BadContext):
        made.remap.context(Context(**parts, version=old.version))


def test_a_refit_read_from_its_bytes_is_the_same_and_a_context_map(
    old: ContextMap, made: Refit
) -> None:
    data = made.to_bytes()
    assert ContextMap.from_bytes(data).version == made.map.version
    back = Refit.from_bytes(data)
    assert [bridge.source for bridge in back.bridges] == [old.version]
    assert back.positions == pytest.approx(made.positions)
    context = old.build(ROWS[700], FACTS[700])
    first, second = made.remap.context(context), back.remap.context(context)
    assert first.projection == pytest.approx(second.projection, abs=0.02)
    assert len(data) < 250_000


def test_a_refit_read_from_a_plain_map_has_no_bridges(old: ContextMap) -> None:
    back = Refit.from_bytes(old.to_bytes())
    assert (back.map.version, back.bridges, back.positions) == (old.version, (), None)


def test_a_refit_reads_at_most_so_many_bridges(old: ContextMap, made: Refit) -> None:
    bridge = bridge_from(old, ROWS[:300])
    many = tuple(
        Bridge(f"v{n}", bridge.weights, bridge.feature_means, bridge.feature_scales)
        for n in range(MOST_BRIDGES + 2)
    )
    back = Refit.from_bytes(Refit(made.map, many).to_bytes())
    assert [b.source for b in back.bridges] == [f"v{n}" for n in range(MOST_BRIDGES)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("positions", np.zeros((3, 2))),
        ("positions", np.full((32, 2), np.nan)),
        ("bridge0.weights", np.zeros((4, 4))),
        ("bridge0.weights", np.full((65, 48), np.inf)),
        ("bridge0.feature_means", np.zeros(2)),
        ("bridge0.feature_scales", None),
    ],
)
def test_a_damaged_bridge_or_layout_is_refused(
    made: Refit, name: str, value: np.ndarray | None
) -> None:
    with np.load(io.BytesIO(made.to_bytes()), allow_pickle=False) as file:
        arrays = dict(file)
    if value is None:
        del arrays[name]
    else:
        arrays[name] = value
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    with pytest.raises(CorruptContextMap):
        Refit.from_bytes(buffer.getvalue())
