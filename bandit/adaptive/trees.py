"""Trees beside the linear model: the part of the actions' quality that no line tells."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bandit.context.view import ContextView
from bandit.models.forest import Forest
from bandit.models.forest_training import ForestSpec, fit_forest
from bandit.models.ring_buffer import OutcomeBuffer
from bandit.settings import ContextShape
from bandit.snapshots.parts import Arrays, part_of, shaped
from bandit.types import Vector

Rows = NDArray[np.intp]

AXES: Final = 8
"""First axes of the projection that the trees look at."""
MEMORY: Final = 8_192
MOST_SHARE: Final = 0.7
HALF: Final = 100.0
"""Outcomes of an action, per action to choose from, by which the trees have half of their share."""
LEVEL_COUNT: Final = 2.0
"""Outcomes that the level before any of them counts for."""
EARLY_FITS: Final = frozenset(round(250 * 1.25**step) for step in range(10))
FIT_EVERY: Final = 500
"""Outcomes from one fit to the next after the early ones."""
LAST_EARLY_FIT: Final = max(EARLY_FITS)
LEAST: Final = 10
"""Fewest outcomes in a leaf."""
DEPTH: Final = 10
TRIED: Final = 0.6
"""Share of the inputs tried at each split."""
_ROUNDING: Final = 1e-9


class QualityTrees:
    """Extremely randomized trees of quality.

    They see prompt features, first axes of the projection, which action it is, and what the linear
    model expected before it learned (stacking, Wolpert 1992): they need not find what a line
    tells. They are fitted to the last outcomes of all actions together, so that actions share what
    they have in common; each action's level is put right afterwards, for among many actions few
    splits tell one from the others. Of what they expect more or less than the linear model, an
    action gets a share MOST_SHARE n / (n + HALF k), n its outcomes that are remembered, k actions
    to choose from: they know little of one of many, and of one seldom chosen.
    """

    def __init__(self, shape: ContextShape, trees: int) -> None:
        self._spec = ForestSpec(trees, DEPTH, LEAST, TRIED, random=True)
        self._width = shape.features + min(AXES, shape.axes) + 1
        self._memory = OutcomeBuffer(self._width, MEMORY)
        self._forest: Forest | None = None
        # (slots,): outcomes of each, how far the forest is above them, and whether it knows them.
        self._heard: Vector = np.zeros(0)
        self._above: Vector = np.zeros(0)
        self._known: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)

    def shift(self, view: ContextView, rows: Rows, expected: Vector) -> Vector:
        """Return what to add to `expected`, (k,), of the linear model; 0 without trees."""
        shift, slots = [0.0] * len(rows), rows.tolist()
        known = [i for i, slot in enumerate(slots) if slot >= 0 and self._known[slot]]
        if self._forest is None or not known:
            return np.array(shift)
        x, half = self._asked(view, [slots[i] for i in known]), HALF * len(rows)
        x[:, self._width - 1] = _bounded(expected[known])
        for i, opinion in zip(known, self._forest.predict(x).tolist(), strict=True):
            heard, above = float(self._heard[slots[i]]), float(self._above[slots[i]])
            share = MOST_SHARE * heard / (heard + half)
            shift[i] = share * (opinion - above - float(expected[i]))
        return np.array(shift)

    def learn(
        self,
        view: ContextView,
        slot: int,
        learned: tuple[float, float],
        weight: float,
    ) -> None:
        """Learn an outcome. learned: as `OutcomeHead.learn` returns it."""
        y, expected = learned
        self._memory.add(_x(view, np.array([expected]))[0], slot, y, weight)
        self._heard[slot] += weight
        added = self._memory.added
        late = added > LAST_EARLY_FIT and added % FIT_EVERY == 0
        if late or added in EARLY_FITS:
            self._fit()

    def correct(self, view: ContextView, slot: int, correction: tuple[float, float | None]) -> None:
        """Correct an outcome that is still remembered. correction: as in `OutcomeHead.correct`."""
        (old, new), memory = correction, self._memory
        alive = (memory.slots == slot) & (memory.targets[:, 0] == old) & (memory.targets[:, 1] > 0)
        same = (memory.x[:, :-1] == _prompt(view).astype(np.float16)).all(axis=1)
        place = np.flatnonzero(alive & same)[:1]
        if new is None:
            memory.targets[place, 1] = 0.0
        else:
            memory.targets[place, 0] = new

    def forget(self, slot: int) -> None:
        """Forget what was learned of an action that has changed."""
        self._memory.targets[self._memory.slots == slot, 1] = 0.0
        self._heard[slot], self._known[slot] = 0.0, False

    def limit(self, most: float) -> None:
        """Let no action's outcomes weigh more than `most` together."""
        factors = np.minimum(1.0, most / np.maximum(self._remembered(), most))
        self._memory.targets[:, 1] *= factors[self._memory.slots]
        self._heard = np.minimum(self._heard, most)

    def grow(self, slots: int) -> None:
        missing = slots - len(self._heard)
        if missing > 0:
            self._heard = np.append(self._heard, np.zeros(missing))
            self._above = np.append(self._above, np.zeros(missing))
            self._known = np.append(self._known, np.zeros(missing, dtype=np.bool_))

    def arrays(self) -> Arrays:
        forest = self._forest.arrays() if self._forest else {}
        return {
            "heard": self._heard,
            "above": self._above,
            "known": self._known.astype(np.int32),
            **self._memory.arrays(),
            **{f"forest.{name}": array for name, array in forest.items()},
        }

    def restore(self, arrays: Arrays, slots: int) -> None:
        """Restore what `arrays` gave. Raises ValueError or KeyError for other arrays."""
        self._memory.restore(arrays, slots)
        self._heard = shaped(arrays["heard"], (slots,)).copy()
        self._above = shaped(arrays["above"], (slots,)).copy()
        self._known = shaped(arrays["known"], (slots,)).astype(np.bool_)
        if (self._heard < 0).any() or (abs(self._above) > 1).any():
            raise ValueError("a count or a level is out of range")
        forest = part_of(arrays, "forest")
        self._forest = Forest.of(forest, self._width + slots) if forest else None
        if self._forest and not (abs(self._forest.value - 0.5) <= 0.5 + _ROUNDING).all():
            raise ValueError("a leaf is no quality")

    def _asked(self, view: ContextView, slots: list[int]) -> NDArray[np.float32]:
        """Return `_inputs` of one context for actions, what is expected of them left out."""
        x = np.zeros((len(slots), self._width + len(self._heard)), dtype=np.float32)
        x[:, : self._width - 1] = _prompt(view)
        for row, slot in enumerate(slots):
            x[row, self._width + slot] = 1.0
        return x

    def _inputs(self, x: NDArray[Any], slots: NDArray[Any]) -> NDArray[np.float32]:
        """Return the numbers of each context and its action one-hot; (n, width + slots)."""
        which = np.zeros((len(slots), len(self._heard)), dtype=np.float32)
        which[np.arange(len(slots)), slots] = 1.0
        return np.concatenate([x.astype(np.float32), which], axis=1)

    def _remembered(self) -> Vector:
        """Return the weight of the outcomes in the memory, (slots,)."""
        weights = self._memory.targets[:, 1]
        found: Vector = np.bincount(self._memory.slots, weights, len(self._heard)).astype(float)
        return found

    def _fit(self) -> None:
        """Grow the forest anew; one action alone teaches nothing of how actions differ."""
        self._heard = self._remembered()
        known = self._heard > 0
        if known.sum() < 2:  # noqa: PLR2004 - as above
            self._known &= known
            return
        used = self._memory.targets[:, 1] > 0
        x, slots = self._memory.x[used], self._memory.slots[used]
        y, weights = self._memory.targets[used].T
        inputs = self._inputs(x, slots)
        forest = fit_forest(inputs, y, weights, self._spec, self._memory.added % 2**32)
        above = np.bincount(slots, weights * (forest.predict(inputs) - y), len(known))
        self._forest, self._known = forest, known
        self._above = above / (self._heard + LEVEL_COUNT)


def _x(view: ContextView, expected: Vector) -> NDArray[np.float64]:
    """Return the prompt and, last, the linear model's expectation of each action; (k, width)."""
    prompt = _prompt(view)
    x = np.empty((len(expected), len(prompt) + 1))
    x[:, :-1] = prompt
    x[:, -1] = _bounded(expected)
    return x


def _bounded(expected: Vector) -> Vector:
    """Put within bounds: far from any quality one number is as good as another."""
    bounded: Vector = np.minimum(np.maximum(expected, -1.0), 2.0)
    return bounded


def _prompt(view: ContextView) -> Vector:
    return np.concatenate([view.features, view.projection[:AXES]])
