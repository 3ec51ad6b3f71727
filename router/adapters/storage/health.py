"""Circuit breakers that all replicas share, on the server's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from router.adapters.storage.client import Client, load
from router.adapters.storage.keys import Keys
from router.ports.state import Health, HealthPolicy

_STATES = (Health.CLOSED, Health.HALF_OPEN, Health.OPEN)
_READ = load("health_common", "health_states")
_ADMIT = load("health_common", "health_admit")
_SUCCEEDED = load("health_common", "health_succeeded")
_GIVE_BACK = load("health_give_back")
_FAILED = load("health_common", "health_failed")


class RedisHealthBoard:
    """Implements `router.ports.state.HealthBoard`."""

    def __init__(self, client: Client, keys: Keys, policy: HealthPolicy) -> None:
        self._client = client
        self._keys = keys
        self._policy = policy

    async def states(self, deployments: Sequence[str]) -> Mapping[str, Health]:
        keys = [self._keys.health(name) for name in deployments]
        found = await self._client.script(_READ, keys)
        return {name: _STATES[state] for name, state in zip(deployments, found, strict=True)}

    async def admit(self, deployment: str) -> bool:
        key = self._keys.health(deployment)
        return bool(await self._client.script(_ADMIT, [key], self._policy.probe_ms))

    async def succeeded(self, deployment: str) -> None:
        await self._client.script(_SUCCEEDED, [self._keys.health(deployment)])

    async def failed(self, deployment: str, retry_after_ms: int | None = None) -> None:
        policy = self._policy
        await self._client.script(
            _FAILED,
            [self._keys.health(deployment)],
            policy.failures,
            policy.cooldown_ms,
            policy.max_cooldown_ms,
            policy.max_retry_after_ms,
            -1 if retry_after_ms is None else retry_after_ms,
        )

    async def give_back(self, deployment: str) -> None:
        await self._client.script(_GIVE_BACK, [self._keys.health(deployment)])
