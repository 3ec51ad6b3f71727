"""Idempotency: the same key and request again gives the same answer, charged once."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from router.domain.errors import IdempotencyConflict, IdempotencyRunning
from router.domain.requests import Completion, RouteRequest, fingerprint
from router.ports.state import ClaimKey, ClaimState, Idempotency
from router.runtime.background import retry_write

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Completion).decode


@dataclass(frozen=True, slots=True)
class IdempotencySettings:
    """running_s: a claim whose owner died is free again after this long."""

    running_s: int
    keep_s: int = 86_400


class IdempotencyGuard:
    """owner: the id of the request that asks."""

    def __init__(self, *, idempotency: Idempotency, settings: IdempotencySettings) -> None:
        self._idempotency = idempotency
        self._settings = settings

    async def begin(self, call: RouteRequest, owner: str) -> Completion | None:
        """The answer given before, or None: then `finish` or `release` must follow.

        Raises IdempotencyConflict, IdempotencyRunning.
        """
        if not call.options.idempotency_key:
            return None
        print_ = fingerprint(call.chat, call.options)
        claim = await self._idempotency.claim(_key(call, owner), print_, self._settings.running_s)
        if claim.state is ClaimState.CONFLICT:
            raise IdempotencyConflict(
                "this idempotency key was used for another request: use a new key"
            )
        if claim.state is ClaimState.RUNNING:
            raise IdempotencyRunning("the first request with this key is still running: wait")
        return _decode(claim.payload) if claim.state is ClaimState.DONE else None

    async def finish(self, call: RouteRequest, owner: str, completion: Completion) -> None:
        """Without it the claim lapses, and a retry pays again. Raises StorageUnavailable."""
        if call.options.idempotency_key:
            key, payload = _key(call, owner), _encode(completion)
            await retry_write(lambda: self._idempotency.finish(key, payload, self._settings.keep_s))

    async def release(self, call: RouteRequest, owner: str) -> None:
        """Does nothing for another owner's claim, so it is safe whatever `begin` came to."""
        if call.options.idempotency_key:
            await self._idempotency.release(_key(call, owner))


def _key(call: RouteRequest, owner: str) -> ClaimKey:
    return ClaimKey(call.tenant.name, call.options.idempotency_key, owner)
