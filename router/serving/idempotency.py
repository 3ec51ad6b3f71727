"""Idempotency: the same key and request again gives the same answer, charged once."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from router.domain.errors import IdempotencyConflict, IdempotencyRunning
from router.domain.requests import Completion, RouteRequest, request_digest
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
    """Answers a repeated key from the first answer. owner: the id of the request that asks."""

    def __init__(self, *, idempotency: Idempotency, settings: IdempotencySettings) -> None:
        self._idempotency = idempotency
        self._settings = settings

    async def begin(self, request: RouteRequest, owner: str) -> Completion | None:
        """The answer given before, or None: then `finish` or `release` must follow.

        Raises IdempotencyConflict, IdempotencyRunning.
        """
        if not request.options.idempotency_key:
            return None
        print_ = request_digest(request.chat, request.options)
        claim = await self._idempotency.claim(
            _key(request, owner), print_, self._settings.running_s
        )
        if claim.state is ClaimState.CONFLICT:
            raise IdempotencyConflict(
                "this idempotency key was used for another request: use a new key"
            )
        if claim.state is ClaimState.RUNNING:
            raise IdempotencyRunning("the first request with this key is still running: wait")
        return _decode(claim.payload) if claim.state is ClaimState.DONE else None

    async def finish(self, request: RouteRequest, owner: str, completion: Completion) -> None:
        """Keep the completion, which a retry would pay again. Raises StorageUnavailable."""
        if request.options.idempotency_key:
            key, payload = _key(request, owner), _encode(completion)
            await retry_write(lambda: self._idempotency.finish(key, payload, self._settings.keep_s))

    async def release(self, request: RouteRequest, owner: str) -> None:
        """Does nothing for another owner's claim, so it is safe whatever `begin` came to."""
        if request.options.idempotency_key:
            await self._idempotency.release(_key(request, owner))


def _key(request: RouteRequest, owner: str) -> ClaimKey:
    return ClaimKey(request.tenant.name, request.options.idempotency_key, owner)
