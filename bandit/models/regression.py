"""One hierarchical regression that keeps itself up to date: statistics, variances, posterior."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.models.companion import Companion
from bandit.models.empirical_bayes import (
    TRUST_GRID,
    Eliminated,
    PriorVariances,
    application_variance,
    expected_variances,
    own_variances,
)
from bandit.models.judged_prompts import JudgedPrompts, PromptShare
from bandit.models.pending_outcomes import PendingOutcome, PendingOutcomes
from bandit.models.posterior import Effects, Posterior, Prior, residual_squares
from bandit.models.sufficient_statistics import ApplicationSums, SufficientStatistics
from bandit.settings import CONVERSATION
from bandit.snapshots.parts import Arrays, shaped
from bandit.types import Vector

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

EARLY_COUNT: Final = 8.0
"""Outcomes of an action up to which each is solved for at once."""

EARLY_REFRESH: Final = frozenset({12, 16, 24, 48})
REFRESH_EVERY: Final = 32
LATE: Final = 1_024
LATE_REFRESH_EVERY: Final = 128
EARLY_TUNE: Final = frozenset(round(24 * 1.3**step) for step in range(15))
TUNE_EVERY: Final = 1_000
NOISE_PRIOR_COUNT: Final = 10.0
LEAST_NOISE: Final = 0.01
"""Least noise, as a share of that assumed at the start."""
OWN_NOISE_COUNT: Final = 20.0
"""Outcomes of an action that weigh as much as what all actions say of the noise."""
NOISE_RATIO: Final = 10.0
"""An action's noise is at most so many times that of all, and at least the inverse of it."""
MOST_EFFECTS: Final = 128
"""Applications, each with one set of actions, whose effects are kept until the next solving."""
ENOUGH_PROMPTS: Final = 30
"""Complete prompts from which their effects are worked out."""
TUNE_PROMPTS: Final = 50
ADVISED: Final = 8_000.0
"""Outcomes from which v may be listened to beside known prompts: before, it tells less than it
costs in noise and time."""
PROMPT_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class RegressionSpec:
    """A kind of y. offset: y when nothing is known. noise: variance assumed at the start.

    intercept: prior variance of the shared and of each action's own intercept. effects, sparing:
    with the effects of prompts, and whether the odds against contextual signal stay with them.
    """

    offset: float
    noise: float
    intercept: float = 0.1
    effects: bool = True
    sparing: bool = True


class HierarchicalRegression:
    """Hierarchical Bayesian regression of one kind of outcome. size: numbers in x, 1 included.

    A longer x makes it as wide from then on; the numbers that a shorter one lacks are 0. Where an
    application is known it has an effect on each action, as large as the outcomes support.

    `observe` is cheap; the posterior is solved again at fixed counts of outcomes, the variances
    are chosen anew at fewer of them, so both depend on what was learned and on nothing else, also
    not on when it was saved: outcomes not yet solved for are saved as they are.

    changes: counts the times that anything but `counts` changed.
    """

    def __init__(self, spec: RegressionSpec, size: int) -> None:
        self._spec = spec
        self._size = size
        self._stats = SufficientStatistics(size + 1)
        self._applications = ApplicationSums(size + 1)
        self._application_variance = 0.0
        self._pending = PendingOutcomes()
        # A 0 comes last here and in `_settled`, as rows of -1 find it.
        self._counts: Vector = np.zeros(1)
        self._settled: Vector | None = None
        self._seen = 0
        self._variances, self._pooled = PriorVariances(), spec.noise
        self._noise: Vector = np.zeros(0)
        self._own: Vector = np.array([self._variances.own])
        self._posterior = self._solved()
        self._effects_known: dict[tuple[int, bytes], Effects] = {}
        self._prompts: JudgedPrompts | None = None
        self._companion: Companion | None = None
        self._at_usual: tuple[Vector, Vector] | None = None
        self.changes = 0

    def noise(self, slot: int) -> float:
        """Return the variance of y about its expectation."""
        return float(self._noise[slot])

    @property
    def listens(self) -> bool:
        """Return whether v has earned a slope that is worth asking for v."""
        return self._variances.trust > TRUST_GRID[0]

    @property
    def slots(self) -> int:
        return self._stats.slots

    def counts(self, rows: Rows) -> Vector:
        """Return summed weights of outcomes of each row, 0 for an action never seen; (k,)."""
        found: Vector = self._counts[rows]
        return found

    @property
    def total(self) -> float:
        """Return the summed weights of all outcomes."""
        return float(sum(self._counts.tolist()))

    def grow(self, slots: int) -> None:
        missing = slots - self._stats.slots
        if missing > 0:
            self._stats.grow(slots)
            for part in self._of_prompts():
                part.grow(slots)
            self._counts = np.append(self._counts, np.zeros(missing))
            self._noise = np.append(self._noise, np.full(missing, self._pooled))
            self._own = np.append(self._own, np.full(missing, self._own[-1]))
            self.refresh()

    def mean(self, rows: Rows, x: Vector, v: Vector | None, application: int = 0) -> Vector:
        """Return expected y; rows: (k,) slots, -1 for one never seen; v: (k,), None for zeros."""
        effects = self._effects(rows, application) if application else None
        y = self._posterior.mean(rows, self._fitted(x), v, effects)
        y += self._spec.offset
        return y

    @property
    def weights(self) -> Array:
        """Return expected coefficients of x and v, (slots + 1, width); never changed in place."""
        return self._posterior.weights

    def add_beside(self, y: Vector, rows: Rows, v: Vector | None, application: int) -> None:
        """Add to y, (k,), what v and the application tell of it."""
        effects = self._effects(rows, application)
        if v is not None:
            y += self.weights[rows, -1] * v
        if effects is not None:
            y += effects.mean

    def expected(self, slot: int, x: Vector, v: float, application: int = 0) -> float:
        """Return `mean` of one action that was learned about."""
        if application and self._application_variance:
            return float(self.mean(np.array([slot]), x, np.array([v]), application)[0])
        weights = self._posterior.weights[slot]
        y = float(weights[:-1].dot(self._fitted(x))) + float(weights[-1]) * v
        return self._spec.offset + y

    def covariance(
        self,
        rows: Rows,
        x: Vector,
        v: Vector | None,
        application: int = 0,
        *,
        settled: bool = False,
    ) -> Array:
        """Return the joint covariance, (k, k). settled: as if applications' effects were known."""
        effects = self._effects(rows, application)
        return self._posterior.covariance(rows, self._fitted(x), v, effects, settled=settled)

    def level_variances(self, rows: Rows) -> Vector:
        """Return how unsure each action's level is where nothing else differs, (k,)."""
        noise = np.concatenate([self._noise, [self._pooled]])[rows]
        result: Vector = noise / (self.counts(rows) + noise / self._spec.intercept)
        return result

    def accompany(self, levels: Vector) -> None:
        """Begin to learn another amount beside y. levels: its usual size, (slots,)."""
        self._fold()
        self._companion = Companion.begun(self._stats.gram, levels)
        self.refresh()

    @property
    def companion(self) -> Companion | None:
        return self._companion

    def beside(self, rows: Rows, x: Vector, v: Vector | None = None) -> Vector:
        """Return the companion's expected amounts, (k,); 1 where there is no companion."""
        if self._companion is None:
            return np.ones(len(rows))
        return self._companion.mean(rows, self._fitted(x), v)

    def usual(self, slot: int) -> Vector:
        """Return the mean x of an action's outcomes, (size,)."""
        total = max(float(self._stats.gram[slot, 0, 0]), 1e-9)
        mean: Vector = self._stats.gram[slot, 0, :-1] / total
        return mean

    def levels(self, rows: Rows, x: Vector) -> Vector:
        """Return expected y at x, of no application and without advice; (k,)."""
        return self._spec.offset + self._posterior.mean(rows, self._fitted(x), None)

    def usual_of(self, rows: Rows) -> tuple[Vector, Vector]:
        """Return expected y and companion's amounts at the mean x of the known prompts, (k,) each.

        There must be such prompts.
        """
        if self._at_usual is None:
            assert self._prompts is not None  # noqa: S101 - the caller's part
            middle, every = self._prompts.middle(), np.arange(-1, self.slots)
            # The row of an action never seen comes last, as -1 finds it.
            every = np.roll(every, -1)
            self._at_usual = self.levels(every, middle), self.beside(every, middle)
        levels, amounts = self._at_usual
        return levels[rows], amounts[rows]

    def settled(self, rows: Rows) -> Vector:
        """Return the weight of the outcomes that tell of each action's level today, (k,)."""
        if self._settled is None:
            self._settled = np.append(self._stats.gram[:, 0, 0], 0.0)
        found: Vector = self._settled[rows]
        return found

    def judged(self, rows: Rows) -> Vector:
        """Return on how many of the known prompts each action was judged, (k,)."""
        if self._prompts is None:
            return np.zeros(len(rows))
        found: Vector = self._prompts.judged()[rows]
        return found

    def rescale_companion(self, slot: int, factor: float) -> None:
        """Take the companion's amounts of an action to have been `factor` times as large."""
        if self._companion:
            self._fold()
            self._companion.rescale(slot, factor, self._stats.gram[slot, 0])
            self.refresh()

    @property
    def knows_prompts(self) -> bool:
        """Return whether an outcome was ever one of a prompt's."""
        return self._prompts is not None

    @property
    def prompts(self) -> int:
        """Count the prompts that are kept of which every action is known."""
        return self._prompts.complete if self._prompts else 0

    def observe(
        self,
        slot: int,
        x: Vector,
        v: float,
        y: float,
        weight: float,
        *,
        application: int = 0,
        share: PromptShare | None = None,
        beside: float | None = None,
    ) -> None:
        """Learn an outcome. share: of a prompt. beside: the companion's amount, where known."""
        if len(x) >= self._stats.width:
            self._widen(len(x) + 1)
        phi, part = self._phi(x, v), 1.0 if share else self._part
        one = PendingOutcome(slot, phi, y - self._spec.offset, weight, application, beside, part)
        self._pending.add(one)
        self._counts[slot] += weight
        self._seen += 1
        known = share is not None and self._completes(share, one)
        if known or self._seen in EARLY_TUNE or self._seen % TUNE_EVERY == 0:
            self._tune()
        elif self._is_due(slot):
            self.refresh()

    def correct(
        self,
        slot: int,
        phi: Vector,
        old: float,
        new: float,
        weight: float,
        *,
        application: int = 0,
    ) -> None:
        """Put `new` in the place of an outcome's `old`; it is solved for at once.

        phi: [x, v], with today's v, for the one of that day is not kept: the slope on it is
        corrected as far as the two are alike. The same holds for the weight of an outcome alone on
        its prompt where effects of prompts are known.
        """
        offset = self._spec.offset
        self._fold()
        phi = self._phi(phi[:-1], phi[-1])
        before, after = old - offset, new - offset
        if self._prompts:
            effect = self._prompts.effect_of(slot, phi[:-1], before, after)
            if effect is None:
                weight *= self._part
            else:
                before, after = before - effect, after - effect
        self._stats.correct(slot, phi, before, after, weight)
        self._applications.correct(slot, application, weight * (new - old))
        self.refresh()

    def limit(self, most: float) -> None:
        """Let no action's outcomes weigh more than `most` together; expectations nearly stay."""
        self._fold()
        for slot in np.flatnonzero(self._stats.count > most).tolist():
            factor = most / float(self._stats.count[slot])
            self._stats.scale(slot, factor)
            self._applications.scale(slot, factor)
            for part in self._of_prompts():
                part.scale(slot, factor)
        self._counts = np.append(self._stats.count, 0.0)
        # Later outcomes are solved for as often as if so many had been learned.
        self._seen = min(self._seen, int(self.total))
        self.refresh()

    def shift_intercept(self, slot: int, shift: float, count: float) -> None:
        """Forget the action's own level; what is known of the new one is worth `count` outcomes.

        Levels are those of its usual requests: features of whole requests are not centred.
        """
        self._fold()
        uncentred = range(self._size, min(self._size + CONVERSATION, self._stats.width - 1))
        columns = np.array([0, *uncentred])
        usual = self._stats.gram[slot, 0, columns] / max(float(self._stats.gram[slot, 0, 0]), 1e-9)
        usual[0] = 1.0
        level = float(self._posterior.weights[slot, columns] @ usual) + shift
        if (total := float(self._stats.gram[slot, 0, 0])) > 0:
            means = self._stats.gram[slot, 0] / total, float(self._stats.moment[slot, 0]) / total
            self._applications.forget_intercept(slot, *means)
        if self._companion:
            beside = self._companion.level(slot, columns, usual)
            self._companion.forget_intercept(slot, self._stats.gram[slot, 0])
            self._companion.add_level(slot, beside, count, columns, usual)
        self._stats.forget_intercept(slot)
        if self._prompts:
            self._prompts.forget(slot)
        self._stats.add_level(slot, level, count, columns, usual)
        self.refresh()

    def refresh(self) -> None:
        """Solve the posterior from everything observed so far."""
        self._fold()
        self._posterior = self._solved()
        self._effects_known.clear()
        self._at_usual = self._settled = None
        self.changes += 1
        if self._companion:
            self._companion.solve(self._unaffected())

    def arrays(self) -> Arrays:
        chosen = self._variances
        scalars = [self._seen, chosen.trust, chosen.shared, chosen.own, self._pooled]
        kept = {"scalars": np.array(scalars), "noise": self._noise, "own": self._own}
        kept |= self._pending.arrays(self._stats.width) | self._stats.arrays()
        kept |= self._application_arrays()
        for part in self._of_prompts():
            kept |= part.arrays()
        return kept | (self._pending.prompt_arrays() if self._of_prompts() else {})

    def _application_arrays(self) -> Arrays:
        """Return nothing where no application was ever known."""
        if not self._applications and not self._pending.has_applications():
            return {}
        return {
            "application_variance": np.array([self._application_variance]),
            **self._pending.application_arrays(),
            **self._applications.arrays(),
        }

    def restore(self, arrays: Arrays, slots: int) -> None:
        """Restore what `arrays` gave. Raises ValueError or KeyError for other arrays."""
        self._stats.restore(arrays, slots)
        self._applications.restore(arrays, slots, self._stats.width)
        self._companion = Companion.of(arrays, slots, self._stats.width)
        self._prompts = None
        if "prompts" in arrays:
            self._prompts = JudgedPrompts(self._stats.width - 1, slots)
            self._prompts.restore(arrays, slots)
        known = arrays.get("application_variance", np.zeros(1))
        self._application_variance = float(shaped(known, (1,))[0])
        seen, *chosen, self._pooled = shaped(arrays["scalars"], (5,)).tolist()
        self._seen, self._variances = int(seen), PriorVariances(*chosen)
        self._noise = shaped(arrays["noise"], (slots,)).copy()
        self._own = shaped(arrays["own"], (slots + 1,)).copy()
        if min(*chosen, self._pooled, *self._noise, *self._own) <= 0:
            raise ValueError("a variance is not positive")
        if self._application_variance < 0:
            raise ValueError("the variance of the applications is negative")
        self._pending.taken()
        self._counts = np.append(self._stats.count, 0.0)
        self.refresh()
        for outcome in self._pending.restore(arrays, slots, self._stats.width):
            self._counts[outcome.slot] += outcome.weight

    def _widen(self, width: int) -> None:
        self._fold()
        self._stats.widen(width)
        self._applications.widen(width)
        for part in self._of_prompts():
            part.widen(width)
        self.refresh()

    def _fitted(self, x: Vector) -> Vector:
        """Return x as long as the model is wide: what it never saw is left out."""
        return fitted(x, self._stats.width - 1)

    def _phi(self, x: Vector, v: float) -> Vector:
        """Return x, as long as the model is wide, and v."""
        phi = np.zeros(self._stats.width)
        held = min(len(x), len(phi) - 1)
        phi[:held], phi[-1] = x[:held], v
        return phi

    def _effects(self, rows: Rows, application: int) -> Effects | None:
        """Return what is known of the application; None where it is not listened to."""
        if not application or not self._application_variance:
            return None
        asked = application, rows.tobytes()
        known = self._effects_known.get(asked)
        if known is None:
            if len(self._effects_known) >= MOST_EFFECTS:
                self._effects_known.clear()
            known = self._effects_known[asked] = self._solved_effects(rows, application)
        return known

    def _solved_effects(self, rows: Rows, application: int) -> Effects:
        sums = self._applications.of(rows, application)
        noise = np.append(self._noise, self._pooled)[rows]
        divisor = sums[:, -1] + noise / self._application_variance
        shares = sums[:, :-1] / divisor[:, None]
        return self._posterior.effects(rows, shares[:, :-1], shares[:, -1], noise / divisor)

    def _fold(self) -> None:
        """Take what was observed since into the statistics, in its order."""
        for one in self._pending.taken():
            weight = one.weight * one.part
            self._stats.add(one.slot, one.phi, one.y, one.weight, one.part)
            self._applications.add(one.slot, one.application, one.phi, one.y, weight)
            if self._companion and one.beside is not None:
                self._companion.add(one.slot, one.phi, one.beside, weight)

    @property
    def _part(self) -> float:
        """Return the weight of an outcome alone on its prompt, whose effect is not known."""
        return self._prompts.part if self._prompts else 1.0

    def _is_due(self, slot: int) -> bool:
        early = self._seen in EARLY_REFRESH or self._counts[slot] <= EARLY_COUNT
        every = REFRESH_EVERY if self._seen < LATE else LATE_REFRESH_EVERY
        return bool(early or self._seen % every == 0)

    def _of_prompts(self) -> list[JudgedPrompts | Companion]:
        """Return what is kept only where prompts with every action judged are known."""
        return [part for part in (self._prompts, self._companion) if part is not None]

    def _unaffected(self) -> Posterior:
        """Return the posterior as if no application had an effect."""
        if not self._application_variance:
            return self._posterior
        return Posterior(self._stats, self._prior())

    def _completes(self, share: PromptShare, one: PendingOutcome) -> bool:
        """Remember an outcome as one of a prompt; return whether it is time to tune."""
        if self._prompts is None:
            self._prompts = JudgedPrompts(self._stats.width - 1, self.slots)
        self._at_usual = None
        self.changes += 1
        told = one.y, one.weight
        if not self._prompts.add(share, one.slot, one.phi, told, one.application):
            return False
        enough = self._prompts.complete == ENOUGH_PROMPTS
        return enough or self._prompts.added % TUNE_PROMPTS == 0

    def _tune(self) -> None:
        """Choose the variances and measure the noise, with the effects of prompts in turn.

        How much the actions' shared slopes vary is chosen without these, which are no less shared:
        what is left once they are taken off would seem to tell of nothing else.
        """
        self._fold()
        prompts = self._prompts
        if not self._knows_effects or prompts is None:
            self._choose()
            return
        prompts.shift(prompts.without_effects(), self._stats, self._applications)
        self._choose()
        shared = self._variances.shared
        for _ in range(PROMPT_ROUNDS):
            effects = prompts.effects(self._expected_on(prompts))
            prompts.shift(effects, self._stats, self._applications)
            self._choose(shared)

    @property
    def _knows_effects(self) -> bool:
        return self._spec.effects and self.prompts >= ENOUGH_PROMPTS

    def _expected_on(self, prompts: JudgedPrompts) -> Array:
        """Return what the posterior expects on each prompt, (n, slots)."""
        expected, asked = prompts.expected(self._posterior.weights[:-1]), prompts.applications
        for application in np.unique(asked).tolist():
            effects = self._effects(np.arange(self.slots), application)
            if effects is not None:
                expected[asked == application] += effects.mean
        return expected

    def _choose(self, shared: float | None = None) -> None:
        """Choose the variances, that of the shared slopes where it is not given."""
        level = self._spec.intercept
        if self._applications:
            self._application_variance = application_variance(
                self._stats, self._applications, level, self._noise, self._spec.noise
            )
        eliminated = Eliminated(self._plain(), level, self._noise)
        sparing = self._spec.sparing or not self._knows_effects
        advised = not self._knows_effects or self.total >= ADVISED
        self._variances = expected_variances(eliminated, sparing=sparing, advised=advised)
        if shared is not None:
            self._variances = replace(self._variances, shared=shared)
        self._own = own_variances(eliminated, self._variances, sparing=sparing)
        self.refresh()
        self._measure_noise()
        self.refresh()

    def _measure_noise(self) -> None:
        """Measure residuals of all actions together, and of each, shrunk towards that."""
        start, count = self._spec.noise, self._stats.count
        squares = residual_squares(self._plain(), self._posterior)
        freedom = max(0.0, float(count.sum()) - self._posterior.freedom())
        pooled = (squares.sum() + NOISE_PRIOR_COUNT * start) / (NOISE_PRIOR_COUNT + freedom)
        self._pooled = max(LEAST_NOISE * start, float(pooled))
        counted = np.maximum(0.0, count - self._posterior.own_freedom())
        own = (squares + OWN_NOISE_COUNT * self._pooled) / (counted + OWN_NOISE_COUNT)
        self._noise = np.clip(own, self._pooled / NOISE_RATIO, self._pooled * NOISE_RATIO)

    def _plain(self) -> SufficientStatistics:
        """Return the statistics without the effects of applications."""
        if not self._application_variance:
            return self._stats
        return self._applications.taken_off(self._stats, self._noise / self._application_variance)

    def _solved(self) -> Posterior:
        return Posterior(self._plain(), self._prior())

    def _prior(self) -> Prior:
        width, chosen = self._stats.width, self._variances
        shared = np.full(width, chosen.shared)
        own = np.empty((len(self._own), width - 1))
        own[:] = self._own[:, None]
        shared[0] = own[:, 0] = self._spec.intercept
        shared[-1] = chosen.trust
        return Prior(shared, own, self._noise)


def fitted(x: Vector, size: int) -> Vector:
    """Return x of this size: cut off, or 0 in what it lacks."""
    if len(x) >= size:
        return x if len(x) == size else x[:size]
    longer = np.zeros(size)
    longer[: len(x)] = x
    return longer
