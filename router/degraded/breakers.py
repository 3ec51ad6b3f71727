"""Circuit breakers of one process, for the time in which those that all replicas share are away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router.degraded.continuity import Continuity
from router.domain import MS_PER_S
from router.domain.errors import StorageUnavailable
from router.ports import Clock
from router.ports.state import Health, HealthBoard, HealthPolicy


@dataclass(slots=True)
class _Circuit:
    """Times are of the clock, in ms. opened: how often in a row."""

    failures: int = 0
    open_until_ms: float = 0.0
    probe_until_ms: float = 0.0
    opened: int = 0


class LocalHealthBoard:
    """Implements `router.ports.state.HealthBoard` in memory. clock: any that only goes forward."""

    def __init__(self, policy: HealthPolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._circuits: dict[str, _Circuit] = {}

    def __contains__(self, deployment: str) -> bool:
        return deployment in self._circuits

    async def states(self, deployments: Sequence[str]) -> Mapping[str, Health]:
        now_ms = self._now_ms()
        return {name: self._state(name, now_ms) for name in deployments}

    async def admit(self, deployment: str) -> bool:
        now_ms = self._now_ms()
        state = self._state(deployment, now_ms)
        if state is Health.HALF_OPEN:
            self._circuits[deployment].probe_until_ms = now_ms + self._policy.probe_ms
        return state is not Health.OPEN

    async def succeeded(self, deployment: str) -> None:
        """A call that began before the circuit opened does not close it."""
        circuit = self._circuits.get(deployment)
        if circuit is not None and self._now_ms() >= circuit.open_until_ms:
            del self._circuits[deployment]

    async def failed(self, deployment: str, retry_after_ms: int | None = None) -> None:
        policy, now_ms = self._policy, self._now_ms()
        circuit = self._circuits.setdefault(deployment, _Circuit())
        circuit.failures += 1
        told, wait_ms = retry_after_ms is not None, 0.0
        due = circuit.opened > 0 or circuit.failures >= policy.failures or told
        if due and now_ms >= circuit.open_until_ms:
            # A failed probe, too many in a row, or told so: open, each time for twice as long.
            wait_ms = policy.cooldown_ms * 2.0 ** min(circuit.opened, 30)
            wait_ms = min(wait_ms, policy.max_cooldown_ms)
            circuit.opened += 1
        wait_ms = max(wait_ms, min(retry_after_ms or 0, policy.max_retry_after_ms))
        if wait_ms > 0:
            circuit.open_until_ms = max(circuit.open_until_ms, now_ms + wait_ms)
            circuit.probe_until_ms = 0.0

    async def give_back(self, deployment: str) -> None:
        if deployment in self._circuits:
            self._circuits[deployment].probe_until_ms = 0.0

    def note_open(self, deployment: str) -> None:
        """Leave alone for a cooldown what other replicas had found ill."""
        circuit = self._circuits.setdefault(deployment, _Circuit())
        if circuit.opened == 0:
            circuit.open_until_ms = self._now_ms() + self._policy.cooldown_ms
            circuit.opened = 1

    def _now_ms(self) -> float:
        return self._clock() * MS_PER_S

    def _state(self, deployment: str, now_ms: float) -> Health:
        circuit = self._circuits.get(deployment)
        if circuit is None or circuit.opened == 0:
            return Health.CLOSED
        if now_ms < circuit.open_until_ms or now_ms < circuit.probe_until_ms:
            return Health.OPEN
        return Health.HALF_OPEN


class DegradingHealthBoard:
    """Keeps breakers in memory beside those that all replicas share."""

    def __init__(self, inner: HealthBoard, local: LocalHealthBoard, continuity: Continuity) -> None:
        self._inner = inner
        self._local = local
        self._continuity = continuity
        self._last: Mapping[str, Health] = {}

    async def states(self, deployments: Sequence[str]) -> Mapping[str, Health]:
        try:
            found = await self._continuity.ask(lambda: self._inner.states(deployments))
        except StorageUnavailable:
            return await (await self._own()).states(deployments)
        self._last = found
        return found

    async def admit(self, deployment: str) -> bool:
        try:
            return await self._continuity.ask(lambda: self._inner.admit(deployment))
        except StorageUnavailable:
            return await (await self._own()).admit(deployment)

    async def succeeded(self, deployment: str) -> None:
        if deployment in self._local:
            await self._local.succeeded(deployment)
        try:
            await self._continuity.ask(lambda: self._inner.succeeded(deployment))
        except StorageUnavailable:
            await self._own()

    async def failed(self, deployment: str, retry_after_ms: int | None = None) -> None:
        await self._local.failed(deployment, retry_after_ms)
        try:
            await self._continuity.ask(lambda: self._inner.failed(deployment, retry_after_ms))
        except StorageUnavailable:
            await self._own()

    async def give_back(self, deployment: str) -> None:
        await self._local.give_back(deployment)
        try:
            await self._continuity.ask(lambda: self._inner.give_back(deployment))
        except StorageUnavailable:
            await self._own()

    async def _own(self) -> LocalHealthBoard:
        """Returns the breakers in memory, told once what the shared ones said last."""
        last, self._last = self._last, {}
        for name, state in last.items():
            if state is Health.OPEN:
                self._local.note_open(name)
        return self._local
