"""The skeleton of every policy: checks, action slots, the learning loop, the manifest."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bandit.choice import check_actions, check_price, check_weights
from bandit.context.view import ContextView, ContextViewer
from bandit.errors import BadAction, BadOutcome, VersionMismatch
from bandit.settings import MAX_ACTIONS, PolicySettings
from bandit.snapshots.codec import Snapshot
from bandit.snapshots.learner import SnapshotLearner, check_count
from bandit.types import Action, Context, Decision, Outcome, Vector, Weights

MOST_PROMPT: Final = 2**53
"""Numbers of prompts are less: a snapshot keeps them exactly."""


class ActionSlots:
    """The row of every action, in order of appearance; at most `MAX_ACTIONS` in a policy's life."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._rows = {name: row for row, name in enumerate(names)}

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def names(self) -> list[str]:
        return list(self._rows)

    def rows(self, actions: Sequence[Action]) -> NDArray[np.intp]:
        """Return the row of each action, (k,); -1 for one never learned about."""
        return np.array([self._rows.get(action.name, -1) for action in actions], dtype=np.intp)

    def claim(self, action: Action) -> int:
        """Return the action's row, a new one if need be.

        Raises:
            BadAction: too many different actions were learned about.

        """
        row = self._rows.get(action.name)
        if row is None:
            if len(self._rows) >= MAX_ACTIONS:
                raise BadAction(
                    f"a policy learns about at most {MAX_ACTIONS} actions; start a new policy"
                )
            row = self._rows[action.name] = len(self._rows)
        return row


@dataclass(frozen=True, slots=True)
class PolicyQuery:
    """One request to decide. rows: (k,) slots of the eligible actions, -1 for one never seen.

    inputs, guesses: known and guessed parts of the prices in USD, (k,). later: what the turns to
    come add to the known parts per turn, (k,), may be < 0. is_priced: whether prices are those of
    this very request, for an input is known.
    """

    view: ContextView
    eligible: Sequence[Action]
    rows: NDArray[np.intp]
    weights: Weights
    inputs: list[float]
    guesses: list[float]
    later: list[float]
    is_priced: bool

    @classmethod
    def of(
        cls,
        view: ContextView,
        eligible: Sequence[Action],
        rows: NDArray[np.intp],
        weights: Weights,
    ) -> PolicyQuery:
        """Lay out the prices of the actions, once for all that asks for them."""
        inputs = [action.input_usd for action in eligible]
        guesses = [action.guess_usd for action in eligible]
        later = [action.later_usd for action in eligible]
        return cls(view, eligible, rows, weights, inputs, guesses, later, any(inputs))

    @property
    def names(self) -> list[str]:
        return [action.name for action in self.eligible]

    @property
    def prices(self) -> Vector:
        """List prior costs in USD, (k,)."""
        return np.array([action.prior_cost_usd for action in self.eligible])

    def costs_usd(self, ratio: Vector) -> Vector:
        """Return expected costs, (k,). ratio: to the guessed parts."""
        costs: Vector = np.array(self.inputs) + ratio * np.array(self.guesses)
        return costs


class SnapshotPolicy(SnapshotLearner):
    """Keeps slots, checks and snapshots; a policy says how it decides and what it learns."""

    def __init__(
        self, name: str, settings: PolicySettings, context_version: str, rng: Generator
    ) -> None:
        super().__init__(name, rng)
        self._settings = settings
        self._viewer = ContextViewer(settings.shape, context_version)
        self._slots = ActionSlots()

    @abstractmethod
    def decide(self, context: Context, eligible: Sequence[Action], weights: Weights) -> Decision:
        """Choose one of `eligible`; the weights act at once.

        Raises:
            NoEligibleAction, BadAction, BadWeights, BadContext, VersionMismatch.

        """

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        """Learn each outcome. Nothing is learned when one of them is bad.

        Raises:
            BadOutcome, BadAction, BadContext, VersionMismatch.

        """
        for outcome in outcomes:
            check_outcome(outcome)
        views = [self._viewer.view(outcome.context) for outcome in outcomes]
        for outcome, view in zip(outcomes, views, strict=True):
            self._learn(self._slot(outcome.action), outcome, view)
            self._learned += 1

    def restore(self, snapshot: Snapshot) -> None:
        """Restore the state. Raises ValueError, KeyError or TypeError for another learner's."""
        self._slots = ActionSlots(snapshot.meta["actions"])
        super().restore(snapshot)

    @property
    def actions(self) -> list[str]:
        """List the names of the actions learned about."""
        return self._slots.names

    @abstractmethod
    def is_sound(self) -> bool:
        """Return whether what was restored expects finite numbers; draws nothing."""

    def is_sane(self, context: Context) -> bool:  # noqa: ARG002 - estimates tell it all
        """Return whether what is known of this context can be, before it is put within bounds."""
        return True

    @abstractmethod
    def _learn(self, slot: int, outcome: Outcome, view: ContextView) -> None:
        """Learn a checked outcome; every part has a row for the slot."""

    def _manifest(self) -> dict[str, Any]:
        return {
            "context_version": self._viewer.version,
            **_structure(self._settings),
            "actions": self._slots.names,
        }

    def _slot_count(self) -> int:
        return len(self._slots)

    def _slot(self, action: Action) -> int:
        """Return the action's slot; every part gets a row for a new one."""
        held = len(self._slots)
        slot = self._slots.claim(action)
        if len(self._slots) > held:
            for part in self._parts().values():
                part.grow(len(self._slots))
        return slot

    def _query(self, context: Context, eligible: Sequence[Action], weights: Weights) -> PolicyQuery:
        """Check and lay out a request. Raises as `decide` does."""
        check_actions(eligible)
        check_weights(weights)
        view = self._viewer.view(context)
        return PolicyQuery.of(view, eligible, self._slots.rows(eligible), weights)

    def _preferred(self, names: Sequence[str]) -> int | None:
        """Return the place of the cold-start action, None where it is not eligible."""
        wanted = self._settings.cold_start
        return names.index(wanted) if wanted in names else None


def check_manifest(meta: Mapping[str, Any], settings: PolicySettings, context_version: str) -> None:
    """Raise VersionMismatch or CorruptSnapshot unless a policy so made can go on from it."""
    if meta.get("context_version") != context_version:
        raise VersionMismatch(
            f"the snapshot was learned with context map {meta.get('context_version')!r}, this "
            f"program uses {context_version!r}; serve with that map, or start a new policy"
        )
    for name, value in _structure(settings).items():
        if meta.get(name) != value:
            raise VersionMismatch(
                f"the snapshot was learned with {name} = {meta.get(name)!r}, the settings say "
                f"{value!r}; change the setting back, or start a new policy"
            )
    actions: Any = meta.get("actions")
    named = isinstance(actions, list) and all(isinstance(name, str) for name in actions)
    check_count(meta, fits=named and len(set(actions)) == len(actions) <= MAX_ACTIONS)


def _structure(settings: PolicySettings) -> dict[str, Any]:
    """Return the settings that decide what is stored."""
    shape = settings.shape
    return {
        "shape": [shape.clusters, shape.axes, shape.features],
        "vw": sorted(settings.vw),
        "replay": settings.replay,
        "trees": settings.trees > 0,
    }


def check_outcome(outcome: Outcome) -> None:
    """Raise BadOutcome or BadAction for what must not be learned from."""
    check_price(outcome.action)
    for name, most in _OUTCOME_LIMITS.items():
        value, above = getattr(outcome, name), name in {"weight", "propensity"}
        inside = value is None or (
            (value > 0 if above else value >= 0) and value <= most and math.isfinite(value)
        )
        if not inside:
            bracket = "(" if above else "["
            raise BadOutcome(f"{name} of an outcome must be a finite number in {bracket}0, {most}]")
    if not 0 <= outcome.prompt < MOST_PROMPT:
        raise BadOutcome("the prompt of an outcome must be a number in [0, 2**53)")
    if outcome.prompt and not 2 <= outcome.of <= MAX_ACTIONS:  # noqa: PLR2004 - two to compare
        raise BadOutcome(f"an outcome of a prompt must be one of 2 to {MAX_ACTIONS}")


_OUTCOME_LIMITS = {
    **dict.fromkeys(("weight", "propensity", "quality", "replaces"), 1),
    **dict.fromkeys(("cost_usd", "input_usd", "latency_ms", "made_ms"), math.inf),
}
