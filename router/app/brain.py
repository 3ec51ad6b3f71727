"""Makes and restores what learns: the policies, and the gate of each plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from bandit import Context, Policy
from bandit.steps import Gate, load_gate, make_gate
from router.app.members import Members
from router.config import Config
from router.config.values import context_map_of, gate_settings_of
from router.core.arms import Catalogue, Plan
from router.core.judging.learned import Learned, split


class Brain:
    """Makes and restores policies the way the config says.

    examples: contexts by plan, for `policy.intent`. A learner, which never decides, has none.
    """

    def __init__(
        self,
        config: Config,
        catalogue: Catalogue,
        examples: Mapping[str, Sequence[Context]] = MappingProxyType({}),
    ) -> None:
        self.context_map = context_map_of(config)
        self._seed = config.policy.seed
        self._members = Members(config, catalogue, self.context_map, examples)
        self._gate_names = {p.name: p.gate for p in _judged(config, catalogue)}
        self._gate_settings = gate_settings_of(config, catalogue, self.context_map)
        # Replicas must not draw alike: theirs is seeded from the system, the learner's is fixed.
        self._serving = np.random.default_rng()

    def fresh_policy(self) -> Policy:
        """Of the section `policy`."""
        return self._members.fresh()

    def fresh(self) -> Learned:
        contest = self._members.fresh_contest()
        learned = Learned(self.fresh_policy(), self._gates({}, None), contest=contest)
        if contest is not None:
            learned.follow(contest)
        return learned

    def restore(self, payload: bytes) -> Learned:
        """For learning: goes on exactly where the snapshot ended. Raises BanditError."""
        parts = split(payload)
        champion, policy = self._members.champion(parts, None)
        contest = self._members.contest(champion, policy, parts)
        return Learned(policy, self._gates(parts.gates, None), champion, contest)

    def restore_to_serve(self, payload: bytes) -> Learned:
        """Without challengers. Raises BanditError."""
        parts = split(payload)
        champion, policy = self._members.champion(parts, self._serving)
        return Learned(policy, self._gates(parts.gates, self._serving), champion)

    def _gates(
        self, saved: Mapping[str, tuple[str, bytes]], rng: np.random.Generator | None
    ) -> dict[str, Gate]:
        """A plan that was given another gate since starts with a fresh one."""
        return {
            plan: self._gate(name, *saved.get(plan, ("", b"")), rng)
            for plan, name in self._gate_names.items()
        }

    def _gate(self, name: str, saved: str, payload: bytes, rng: np.random.Generator | None) -> Gate:
        version = self.context_map.version
        if saved == name:
            return load_gate(payload, self._gate_settings, version, rng, name=name)
        fresh = rng or np.random.default_rng(self._seed)
        return make_gate(name, self._gate_settings, version, fresh)


def _judged(config: Config, catalogue: Catalogue) -> list[Plan]:
    """A verifier has a say in every ladder; without one the plain rules need no gate."""
    asked = config.judging.verifier is not None
    return [p for p in catalogue.plans.values() if p.is_judged or (asked and len(p.rungs) > 1)]
