"""Idempotency: the same key and request again gives the same answer, charged once."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from router.core.cachekey import fingerprint
from router.core.calls import Call, Completion
from router.core.errors import IdempotencyConflict, IdempotencyRunning
from router.core.ports import ClaimState, Idempotency

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Completion).decode


@dataclass(frozen=True, slots=True)
class OnceSettings:
    """running_s: a claim whose owner died is free again after this long."""

    keep_s: int = 86_400
    running_s: int = 600


class Once:
    def __init__(self, *, idempotency: Idempotency, settings: OnceSettings) -> None:
        self._idempotency = idempotency
        self._settings = settings

    async def begin(self, call: Call) -> Completion | None:
        """The answer given before, or None: then `finish` or `release` must follow.

        Raises IdempotencyConflict, IdempotencyRunning.
        """
        key = call.options.idempotency_key
        if not key:
            return None
        print_ = fingerprint(call.chat, call.options)
        claim = await self._idempotency.claim(
            call.tenant.name, key, print_, self._settings.running_s
        )
        if claim.state is ClaimState.CONFLICT:
            raise IdempotencyConflict(
                "this idempotency key was used for another request: use a new key"
            )
        if claim.state is ClaimState.RUNNING:
            raise IdempotencyRunning("the first request with this key is still running: wait")
        return _decode(claim.payload) if claim.state is ClaimState.DONE else None

    async def finish(self, call: Call, completion: Completion) -> None:
        key = call.options.idempotency_key
        if key:
            payload = _encode(completion)
            await self._idempotency.finish(call.tenant.name, key, payload, self._settings.keep_s)

    async def release(self, call: Call) -> None:
        if call.options.idempotency_key:
            await self._idempotency.release(call.tenant.name, call.options.idempotency_key)
