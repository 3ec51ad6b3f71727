"""What every policy but the default one keeps in the same way: slots, running means, snapshots."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bandit.choice import check_actions, cold_start, decide, with_floor
from bandit.context.view import View, Viewer
from bandit.models.running_means import QUALITY, RunningMeans
from bandit.outcomes import check_outcome
from bandit.policies.slots import Slots
from bandit.settings import PolicySettings, check_weights
from bandit.snapshots.codec import Snapshot, pack
from bandit.snapshots.manifest import manifest
from bandit.snapshots.random_state import check_generator
from bandit.types import Action, Context, Decision, Outcome, Vector, Weights
from bandit.utility import burden, estimates_of

Rows = NDArray[np.intp]


class Part(Protocol):
    """Something learned, kept in rows by slot or in a buffer of bounded size."""

    def grow(self, slots: int) -> None: ...

    def arrays(self) -> Mapping[str, NDArray[Any]]: ...

    def restore(self, arrays: dict[str, NDArray[Any]], slots: int) -> None:
        """Raises ValueError or KeyError when the arrays are not what `arrays` gave."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to decide. rows: (k,) slots of the eligible actions, -1 for one never seen."""

    view: View
    eligible: Sequence[Action]
    rows: Rows
    weights: Weights

    @property
    def names(self) -> list[str]:
        return [action.name for action in self.eligible]

    @property
    def prices(self) -> Vector:
        """Prior costs in USD, (k,)."""
        return np.array([action.prior_cost_usd for action in self.eligible])


@dataclass(frozen=True, slots=True)
class Expected:
    """Means for the eligible actions, each (k,)."""

    quality: Vector
    cost_usd: Vector
    latency_ms: Vector
    failure: Vector


class SnapshotPolicy(ABC):
    """Keeps the books; a policy says which shares it wants and what it expects.

    Not thread-safe. `explored` of its decisions: not the action with the largest share.
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
        asked = Asked(view, eligible, self._slots.rows(eligible), weights)
        expected = self._expect(asked)
        utility = weights.quality * expected.quality - self._burden(expected, weights)
        shares = self._shares(asked, expected)
        columns = (expected.quality, expected.cost_usd, expected.latency_ms, expected.failure)
        estimates = estimates_of(eligible, (*columns, utility))
        probabilities = with_floor(shares, self._settings.floor)
        return decide(eligible, probabilities, int(shares.argmax()), estimates, self._rng)

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        """Nothing is learned when one outcome is bad.

        The running means are corrected; what a policy learns besides can take nothing back and
        learns the right value once more.

        Raises:
            BadOutcome, BadAction, BadContext, VersionMismatch.

        """
        for outcome in outcomes:
            check_outcome(outcome)
        views = [self._viewer.view(outcome.context) for outcome in outcomes]
        for outcome, view in zip(outcomes, views, strict=True):
            slot = self._slots.claim(outcome.action)
            for part in self._parts().values():
                part.grow(len(self._slots))
            self._learn(slot, outcome, view)
            self._means.add(slot, outcome)
            self._learned += 1

    def save(self) -> bytes:
        arrays: dict[str, NDArray[Any]] = {}
        for name, part in self._parts().items():
            arrays |= {f"{name}.{key}": array for key, array in part.arrays().items()}
        names = self._slots.names
        meta = manifest(self._settings, self._viewer.version, names, self._learned, self._rng)
        return pack(Snapshot(self._name, meta, arrays))

    def restore(self, snapshot: Snapshot) -> None:
        """Raises ValueError, KeyError or TypeError when the snapshot does not fit."""
        self._slots = Slots(snapshot.meta["actions"])
        self._learned = int(snapshot.meta["learned"])
        for name, part in self._parts().items():
            part.restore(snapshot.part(name), len(self._slots))

    def is_sound(self) -> bool:
        """Whether what was restored expects finite numbers and wants shares that can be drawn."""
        names = [*self._slots.names, ""]
        eligible = [Action(name, 1.0) for name in names]
        rows = np.append(np.arange(len(self._slots)), -1)
        asked = Asked(self._viewer.blank(), eligible, rows, self._settings.weights)
        state = self._rng.bit_generator.state
        expected = self._expect(asked)
        shares = self._shares(asked, expected)
        self._rng.bit_generator.state = state
        numbers = (expected.quality, expected.cost_usd, expected.latency_ms, expected.failure)
        return bool(np.isfinite(np.concatenate([*numbers, shares])).all())

    def is_sane(self, context: Context) -> bool:  # noqa: ARG002 - its estimates tell it all
        """Whether what it knows of this context, before it is put within bounds, can be."""
        return True

    def _parts(self) -> dict[str, Part]:
        return {"means": self._means}

    def _expect(self, asked: Asked) -> Expected:
        """The running means, unless a policy knows better."""
        quality, ratio, latency_ms, failure = self._means.means(asked.rows).T
        return Expected(quality, ratio * asked.prices, latency_ms, failure)

    def _burden(self, expected: Expected, weights: Weights) -> Vector:
        amounts = (expected.cost_usd, expected.latency_ms, expected.failure)
        taken: Vector = burden(weights, self._settings.units, *amounts)
        return taken

    @abstractmethod
    def _shares(self, asked: Asked, expected: Expected) -> Vector:
        """Probabilities before the floor, (k,), >= 0, summing to 1."""

    def _learn(self, slot: int, outcome: Outcome, view: View) -> None:  # noqa: B027 - may stay so
        """What a policy learns besides the running means, which do not hold the outcome yet."""


class HeuristicPolicy(SnapshotPolicy):
    """Always one action by a rule; what it learns shows in its estimates only.

    The floor keeps every eligible action alive, so that its log can teach other policies.
    """

    def _shares(self, asked: Asked, expected: Expected) -> Vector:  # noqa: ARG002 - needs no means
        names = asked.names
        wanted = next((n for n in self._order(asked) if n in names), names[0])
        shares: Vector = np.eye(len(names))[names.index(wanted)]
        return shares

    @abstractmethod
    def _order(self, asked: Asked) -> Iterable[str]:
        """Names, the wanted one first; where none is eligible, the first eligible one is taken."""


class LearningPolicy(SnapshotPolicy):
    """Each eligible action gets its first outcomes, the cold-start action most; then it settles."""

    def _shares(self, asked: Asked, expected: Expected) -> Vector:
        counts = self._means.counts(asked.rows)
        judged, calls = counts[:, QUALITY], counts.max(axis=1)
        settled = self._settled(asked, expected)
        wanted = self._settings.initial_pulls
        return cold_start(settled, judged, calls, wanted, self._preferred(asked.names))

    @abstractmethod
    def _settled(self, asked: Asked, expected: Expected) -> Vector:
        """Shares once there is evidence, (k,)."""

    def _preferred(self, names: Sequence[str]) -> int | None:
        wanted = self._settings.cold_start
        return names.index(wanted) if wanted in names else None
