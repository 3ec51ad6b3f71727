"""The default policy: hierarchical Bayesian heads, Vowpal Wabbit's advice, Thompson sampling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bandit.adaptive.beliefs import Belief
from bandit.adaptive.change_detection import (
    FAILURE_CHANGE,
    QUALITY_CHANGE,
    RATIO_CHANGE,
    ChangeDetector,
)
from bandit.adaptive.correction_horizon import Horizon
from bandit.adaptive.outcome_heads import Heads
from bandit.choice import (
    cautious,
    check_actions,
    cold_start,
    count_best,
    decide,
    floors,
    newcomers,
    with_floor,
)
from bandit.context.view import View, Viewer
from bandit.errors import BadSettings
from bandit.outcomes import check_outcome
from bandit.policies.slots import Slots
from bandit.settings import PolicySettings, check_weights
from bandit.snapshots.codec import Snapshot, pack
from bandit.snapshots.manifest import manifest
from bandit.snapshots.random_state import check_generator
from bandit.types import Action, Context, Decision, Outcome, Vector, Weights

NAME: Final = "adaptive"


class AdaptivePolicy:
    """Thompson sampling on quality, posterior means for cost, latency and failure.

    Not thread-safe. rng: `numpy.random.default_rng(...)`; its state is part of the snapshot.
    """

    def __init__(
        self, settings: PolicySettings, context_version: str, rng: np.random.Generator
    ) -> None:
        check_generator(rng)
        self._settings = settings
        self._rng = rng
        self._viewer = Viewer(settings.shape, context_version)
        self._slots = Slots()
        self._learned = 0
        self._heads = Heads(settings, self._viewer.write)
        self._horizon = Horizon()
        specs = {
            "quality": QUALITY_CHANGE,
            "cost": RATIO_CHANGE,
            "latency": RATIO_CHANGE,
            "failure": FAILURE_CHANGE,
        }
        self._changes = {name: ChangeDetector(spec) for name, spec in specs.items()}

    @property
    def name(self) -> str:
        return NAME

    @property
    def learned(self) -> int:
        return self._learned

    def decide(self, context: Context, eligible: Sequence[Action], weights: Weights) -> Decision:
        """Choose one of `eligible`; the weights act at once.

        Raises:
            NoEligibleAction, BadAction, BadWeights, BadContext, VersionMismatch.

        """
        check_actions(eligible)
        check_weights(weights)
        view = self._viewer.view(context)
        rows = self._slots.rows(eligible)
        expected = self._heads.expect(view, rows, eligible, weights)
        utilities = self._heads.draws(view, rows, expected, weights.quality, self._rng)
        judged = self._heads.quality.layer.counts(rows)
        utilities[:, newcomers(judged, self._settings.initial_pulls)] = -np.inf
        settled = count_best(utilities)
        mixed = self._cold(settled, judged, rows, eligible)
        probes = self._changes["quality"].probes(rows)
        floor, thrifty = self._settings.floor, self._settings.thrifty
        least = floors(floor, expected.utility) if thrifty else floor
        probabilities = with_floor(mixed, np.maximum(probes, least))
        greedy = int(expected.utility.argmax())
        estimates = expected.estimates(eligible)
        return decide(eligible, probabilities, greedy, estimates, self._rng)

    def beliefs(
        self, context: Context, actions: Sequence[Action], weights: Weights
    ) -> list[Belief]:
        """Implements `bandit.adaptive.beliefs.Believer`; raises as `decide` does.

        Intervals are as wide as the linear model is unsure; where they lie the trees have a say.
        """
        check_actions(actions)
        check_weights(weights)
        view, rows = self._viewer.view(context), self._slots.rows(actions)
        expected = self._heads.expect(view, rows, actions, weights)
        joint = self._heads.joint(view, rows, expected)
        return joint.beliefs(list(expected.estimates(actions).items()), weights.quality)

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        """Each head learns from what is not None. Nothing is learned when one outcome is bad.

        A correction leaves the head of quality as if the right value had been told at once, but for
        when its variances were chosen, what changes were noticed, and the adviser; the trees see it
        when they are grown again. What was told of an action before it changed, or before `limit`,
        can't be corrected any more.

        Raises:
            BadOutcome, BadAction, BadContext, VersionMismatch.

        """
        for outcome in outcomes:
            check_outcome(outcome)
        views = [self._viewer.view(outcome.context) for outcome in outcomes]
        for outcome, view in zip(outcomes, views, strict=True):
            self._learn(outcome, view)

    def limit(self, most: float) -> None:
        """What was learned so far rules like `most` outcomes of each action; more gives way to it.

        The advisers' models stay as they are: they count as much as the slope on them has earned.

        Raises:
            BadSettings: most is not a finite number >= 1.

        """
        if not 1 <= most < math.inf:
            raise BadSettings("the strength of what was learned must be a finite number >= 1")
        for part in self._heads.parts().values():
            part.limit(most)
        self._horizon.limit()

    def save(self) -> bytes:
        arrays: dict[str, NDArray[Any]] = {}
        for name, part in self._parts().items():
            arrays |= {f"{name}.{key}": array for key, array in part.arrays().items()}
        names = self._slots.names
        meta = manifest(self._settings, self._viewer.version, names, self._learned, self._rng)
        return pack(Snapshot(NAME, meta, arrays))

    def restore(self, snapshot: Snapshot) -> None:
        """Raises ValueError, KeyError or TypeError when the snapshot does not fit."""
        self._slots = Slots(snapshot.meta["actions"])
        self._learned = int(snapshot.meta["learned"])
        for name, part in self._parts().items():
            part.restore(snapshot.part(name), len(self._slots))

    def is_sound(self) -> bool:
        """Whether restored heads predict finite numbers."""
        blank = self._viewer.blank()
        rows = np.arange(-1, len(self._slots))
        heads = self._heads.each().values()
        parts = [head.mean(blank, rows, head.advice(blank, rows)) for head in heads]
        return bool(np.isfinite(np.concatenate(parts)).all())

    def is_sane(self, context: Context) -> bool:
        """Whether every head expects something near its bounds, before it is put within them."""
        view, rows = self._viewer.view(context), np.arange(-1, len(self._slots))
        return all(head.is_near(view, rows) for head in self._heads.each().values())

    def _parts(self) -> dict[str, Any]:
        changes = {f"change.{name}": detector for name, detector in self._changes.items()}
        return {**self._heads.parts(), **changes, "horizon": self._horizon}

    def _cold(
        self,
        settled: Vector,
        judged: Vector,
        rows: NDArray[np.intp],
        eligible: Sequence[Action],
    ) -> Vector:
        settings = self._settings
        calls = np.maximum(self._heads.cost.head.layer.counts(rows), judged)
        names = [action.name for action in eligible]
        preferred = names.index(settings.cold_start) if settings.cold_start in names else None
        if preferred is not None and settings.caution:
            settled = cautious(settled, judged, preferred, settings.caution)
        return cold_start(settled, judged, calls, settings.initial_pulls, preferred)

    def _learn(self, outcome: Outcome, view: View) -> None:
        slot = self._slots.claim(outcome.action)
        self._grow(len(self._slots))
        if self._horizon.hides(slot, outcome):
            outcome = replace(outcome, quality=None, replaces=None)
        self._horizon.see(slot, outcome.made_ms)
        found = self._heads.learn(outcome, view, slot, self._rng)
        if self._settings.detect_changes:
            self._watch(slot, found, outcome.weight)
        self._learned += 1

    def _watch(self, slot: int, found: Mapping[str, tuple[float, float]], weight: float) -> None:
        """Each head forgets its own level of an action that has changed."""
        heads = self._heads.each()
        for name, (y, expected) in found.items():
            alarm = self._changes[name].alarm(slot, y, expected, weight)
            if alarm is not None:
                heads[name].shift_level(slot, alarm.shift, alarm.count)
                if name == "quality":
                    self._horizon.forget(slot)

    def _grow(self, slots: int) -> None:
        for head in self._heads.each().values():
            head.grow(slots)
        for detector in self._changes.values():
            detector.grow(slots)
        self._horizon.grow(slots)
