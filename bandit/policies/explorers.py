"""Vowpal Wabbit's own explorers behind the policy protocol.

They minimise one cost, minus the utility under the configured weights, and learn when an outcome
carries its quality. What that outcome does not say of cost, latency or failure is filled in with
the action's running means, so that feedback that comes alone still has its price.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.choice import check_actions, cold_start, decide, with_floor
from bandit.manifest import manifest
from bandit.outcomes import check_outcome
from bandit.random_state import check_generator
from bandit.running import COST_RATIO, FAILURE, LATENCY_MS, QUALITY, RunningMeans
from bandit.settings import PolicySettings, check_weights
from bandit.slots import Slots
from bandit.snapshot import Snapshot, pack
from bandit.types import Action, Context, Decision, Estimate, Outcome, Vector, Weights
from bandit.utility import burden, estimates_of
from bandit.view import View, Viewer
from bandit.vw import Explorer

LEAST_PROPENSITY: Final = 1e-3
"""Importance weights are bounded: 1 / this."""


class ExplorerPolicy:
    """name: one of `bandit.vw.EXPLORER_NAMES`. Not thread-safe.

    The weights of a single decision act on the estimates it reports, not on the choice: they are
    learned in.
    """

    def __init__(
        self,
        name: str,
        settings: PolicySettings,
        context_version: str,
        rng: np.random.Generator,
    ) -> None:
        check_generator(rng)
        self._name = name
        self._settings = settings
        self._rng = rng
        self._viewer = Viewer(settings.shape, context_version)
        self._slots = Slots()
        self._means = RunningMeans()
        self._learned = 0
        self._made: Explorer | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def learned(self) -> int:
        return self._learned

    def decide(self, context: Context, eligible: Sequence[Action], weights: Weights) -> Decision:
        """Raises NoEligibleAction, BadAction, BadWeights, BadContext, VersionMismatch."""
        check_actions(eligible)
        check_weights(weights)
        view = self._viewer.view(context)
        rows = self._slots.rows(eligible)
        # An action never learned about gets a name of its own, one that has no weights yet.
        names = [r if r >= 0 else len(self._slots) + i for i, r in enumerate(rows.tolist())]
        settled = self._explorer.predict(view.text, names)
        settled = np.maximum(settled, 0.0) / np.maximum(settled, 0.0).sum()
        counts = self._means.counts(rows)
        judged, calls = counts[:, QUALITY], counts.max(axis=1)
        mixed = cold_start(
            settled, judged, calls, self._settings.initial_pulls, self._preferred(eligible)
        )
        probabilities = with_floor(mixed, self._settings.floor)
        estimates = self._estimates(eligible, rows, weights)
        return decide(eligible, probabilities, int(mixed.argmax()), estimates, self._rng)

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        """Nothing is learned when one outcome is bad.

        Raises:
            BadOutcome, BadAction, BadContext, VersionMismatch.

        """
        for outcome in outcomes:
            check_outcome(outcome)
        views = [self._viewer.view(outcome.context) for outcome in outcomes]
        for outcome, view in zip(outcomes, views, strict=True):
            self._learn(outcome, view)

    def save(self) -> bytes:
        meta = manifest(
            self._settings, self._viewer.version, self._slots.names, self._learned, self._rng
        )
        model = np.frombuffer(self._explorer.save(), dtype=np.uint8)
        means = {f"means.{name}": array for name, array in self._means.arrays().items()}
        return pack(Snapshot(self._name, meta, {"model": model, **means}))

    def restore(self, snapshot: Snapshot) -> None:
        """Raises ValueError, KeyError or TypeError when the snapshot does not fit."""
        self._slots = Slots(snapshot.meta["actions"])
        self._learned = int(snapshot.meta["learned"])
        self._means.restore(snapshot.part("means"), len(self._slots))
        self._made = Explorer(self._name, snapshot.arrays["model"].tobytes())

    @property
    def _explorer(self) -> Explorer:
        # Made when first needed: a restored policy never needs the empty one.
        if self._made is None:
            self._made = Explorer(self._name)
        return self._made

    def is_sound(self) -> bool:
        """Whether the restored model predicts finite numbers."""
        text = self._viewer.blank().text
        return bool(np.isfinite(self._explorer.predict(text, range(len(self._slots) + 1))).all())

    def _learn(self, outcome: Outcome, view: View) -> None:
        slot = self._slots.claim(outcome.action)
        self._means.grow(len(self._slots))
        self._means.add(slot, outcome)
        if outcome.quality is not None:
            cost = -self._utility(slot, outcome, outcome.quality)
            # A weight below 1 is an importance below 1 / propensity.
            share = min(1.0, max(outcome.propensity, LEAST_PROPENSITY) / outcome.weight)
            self._explorer.learn(view.text, range(len(self._slots)), slot, cost, share)
        self._learned += 1

    def _utility(self, slot: int, outcome: Outcome, quality: float) -> float:
        means = self._means.means(np.array([slot]))[0]
        price = outcome.action.prior_cost_usd
        given = (outcome.cost_usd, outcome.latency_ms, outcome.failed)
        usual = (means[COST_RATIO] * price, means[LATENCY_MS], means[FAILURE])
        amounts = [float(u if g is None else g) for g, u in zip(given, usual, strict=True)]
        weights, units = self._settings.weights, self._settings.units
        return weights.quality * quality - burden(weights, units, *amounts)

    def _estimates(
        self, eligible: Sequence[Action], rows: NDArray[np.intp], weights: Weights
    ) -> dict[str, Estimate]:
        quality, ratio, latency_ms, failure = self._means.means(rows).T
        cost_usd = ratio * np.array([action.prior_cost_usd for action in eligible])
        taken: Vector = burden(weights, self._settings.units, cost_usd, latency_ms, failure)
        utility = weights.quality * quality - taken
        return estimates_of(eligible, (quality, cost_usd, latency_ms, failure, utility))

    def _preferred(self, eligible: Sequence[Action]) -> int | None:
        names = [action.name for action in eligible]
        wanted = self._settings.cold_start
        return names.index(wanted) if wanted in names else None
