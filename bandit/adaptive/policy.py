"""The default policy: hierarchical regressions, Vowpal Wabbit's advice, Thompson sampling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.random import Generator

from bandit.adaptive.beliefs import Belief
from bandit.adaptive.change_detection import (
    FAILURE_CHANGE,
    QUALITY_CHANGE,
    RATIO_CHANGE,
    ChangeDetector,
    CorrectionHorizon,
)
from bandit.adaptive.outcome_heads import OutcomeHeads
from bandit.choice import (
    cautious,
    cold_start,
    count_best,
    decide,
    floors,
    newcomers,
    with_floor,
)
from bandit.context.view import ContextView
from bandit.errors import BadSettings
from bandit.policies.snapshot_policy import PolicyQuery, SnapshotPolicy
from bandit.settings import PolicySettings
from bandit.snapshots.parts import SnapshotPart
from bandit.types import Action, Context, Decision, Outcome, Vector, Weights

NAME: Final = "adaptive"


class AdaptivePolicy(SnapshotPolicy):
    """Thompson sampling on quality, posterior means for cost, latency and failure."""

    def __init__(
        self, name: str, settings: PolicySettings, context_version: str, rng: Generator
    ) -> None:
        super().__init__(name, settings, context_version, rng)
        self._heads = OutcomeHeads(settings, self._viewer.write)
        self._horizon = CorrectionHorizon()
        specs = {
            "quality": QUALITY_CHANGE,
            "cost": RATIO_CHANGE,
            "latency": RATIO_CHANGE,
            "failure": FAILURE_CHANGE,
        }
        self._changes = {name: ChangeDetector(spec) for name, spec in specs.items()}

    def decide(self, context: Context, eligible: Sequence[Action], weights: Weights) -> Decision:
        query = self._query(context, eligible, weights)
        expected = self._heads.expect(query)
        utilities = self._heads.draws(query, expected, self._rng)
        judged = self._heads.quality.regression.counts(query.rows)
        is_young = min(judged.tolist()) < self._settings.initial_pulls
        if is_young:
            utilities[:, newcomers(judged, self._settings.initial_pulls)] = -np.inf
        mixed = count_best(utilities)
        if is_young or self._settings.caution:
            mixed = self._cold(mixed, judged, query)
        probes = self._changes["quality"].probes(query.rows)
        floor, thrifty = self._settings.floor, self._settings.thrifty
        least = floors(floor, expected.utility) if thrifty else [floor] * len(query.rows)
        probabilities = with_floor(mixed.tolist(), list(map(max, probes.tolist(), least)))
        greedy = expected.utility.index(max(expected.utility))
        estimates = expected.estimates(eligible)
        return decide(eligible, probabilities, greedy, estimates, self._rng)

    def beliefs(
        self, context: Context, actions: Sequence[Action], weights: Weights
    ) -> list[Belief]:
        """Implement `bandit.adaptive.beliefs.PosteriorPolicy`; raises as `decide` does.

        Intervals are as wide as the linear model is unsure; the trees move them, no more.
        """
        query = self._query(context, actions, weights)
        expected = self._heads.expect(query)
        joint = self._heads.joint(query, expected)
        return joint.beliefs(list(expected.estimates(actions).items()), weights.quality)

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        """Learn from every amount that is not None. Nothing is learned when one outcome is bad.

        A correction leaves the model of quality as if the right value had come at once, except for
        the times its variances were chosen, the changes noticed, and the advisor; the trees see
        it when they are grown again. Outcomes of an action before its last change, or before
        `limit`, can't be corrected any more.

        Raises:
            BadOutcome, BadAction, BadContext, VersionMismatch.

        """
        super().learn(outcomes)

    def limit(self, most: float) -> None:
        """Reduce the weight of all that was learned to at most `most` outcomes of each action.

        The advisors' models stay as they are: they count as much as the slope on them has earned.

        Raises:
            BadSettings: most is not a finite number >= 1.

        """
        if not 1 <= most < math.inf:
            raise BadSettings("the strength of what was learned must be a finite number >= 1")
        for part in self._heads.parts().values():
            part.limit(most)
        self._horizon.limit()

    def changed_ms(self, action: str) -> float:
        """Implement `bandit.types.SeesChanges`, of quality."""
        (row,) = self._slots.rows([Action(action, 1.0)])
        return 0.0 if row < 0 else self._horizon.beyond_ms(int(row))

    @property
    def known_prompts(self) -> int:
        """Count the prompts, of those remembered, of which every action is known."""
        return self._heads.quality.regression.prompts

    def is_sound(self) -> bool:
        blank = self._viewer.blank()
        rows = np.arange(-1, len(self._slots))
        heads = self._heads.each().values()
        parts = [head.mean(blank, rows, head.advice(blank, rows)) for head in heads]
        return bool(np.isfinite(np.concatenate(parts)).all())

    def is_sane(self, context: Context) -> bool:
        view, rows = self._viewer.view(context), np.arange(-1, len(self._slots))
        return all(head.is_near(view, rows) for head in self._heads.each().values())

    def _parts(self) -> Mapping[str, SnapshotPart]:
        changes = {f"change.{name}": detector for name, detector in self._changes.items()}
        return {**self._heads.parts(), **changes, "horizon": self._horizon}

    def _cold(self, settled: Vector, judged: Vector, query: PolicyQuery) -> Vector:
        settings = self._settings
        calls = np.maximum(self._heads.cost.head.regression.counts(query.rows), judged)
        preferred = self._preferred(query.names)
        if preferred is not None and settings.caution:
            settled = cautious(settled, judged, preferred, settings.caution)
        return cold_start(settled, judged, calls, settings.initial_pulls, preferred)

    def _learn(self, slot: int, outcome: Outcome, view: ContextView) -> None:
        if self._horizon.hides(slot, outcome):
            outcome = replace(outcome, quality=None, replaces=None)
        self._horizon.see(slot, outcome.made_ms)
        found = self._heads.learn(outcome, view, slot)
        if self._settings.detect_changes:
            self._watch(slot, found, outcome.weight)

    def _watch(self, slot: int, found: Mapping[str, tuple[float, float]], weight: float) -> None:
        """Let each head forget its own level of an action that has changed."""
        heads = self._heads.each()
        for name, (y, expected) in found.items():
            alarm = self._changes[name].alarm(slot, y, expected, weight)
            if alarm is not None:
                heads[name].shift_level(slot, alarm.shift, alarm.count)
                if name == "quality":
                    self._horizon.forget(slot)
                elif name == "cost":
                    self._heads.rescale_costs(slot, math.exp(alarm.shift))
