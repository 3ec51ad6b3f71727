"""Idempotency: the same key and request again gives the same answer, charged once."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from router.domain.errors import IdempotencyConflict, IdempotencyRunning
from router.domain.requests import Completion, RouteRequest, request_digest
from router.domain.tenants import LEASE_S
from router.ports.state import ClaimKey, ClaimState, Idempotency
from router.runtime.background import INSIST_S, retry_write
from router.serving.leases import Held

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Completion).decode


@dataclass(frozen=True, slots=True)
class IdempotencySettings:
    """running_s: a claim that its owner does not renew is free again after this long."""

    running_s: int = LEASE_S
    keep_s: int = 86_400


class IdempotencyGuard:
    """Answers a repeated key from the first answer. owner: the id of the request that asks.

    held: a claim is renewed until it is finished or released.
    """

    def __init__(
        self, *, idempotency: Idempotency, held: Held, settings: IdempotencySettings
    ) -> None:
        self._idempotency = idempotency
        self._held = held
        self._settings = settings

    async def begin(self, request: RouteRequest, owner: str) -> Completion | None:
        """The answer given before, or None: then `finish` or `release` must follow.

        Raises IdempotencyConflict, IdempotencyRunning.
        """
        if not request.options.idempotency_key:
            return None
        key, print_ = _key(request, owner), _fingerprint(request)
        claim = await self._idempotency.claim(key, print_, self._settings.running_s)
        if claim.state is ClaimState.CONFLICT:
            raise IdempotencyConflict(
                "this idempotency key was used for another request: use a new key"
            )
        if claim.state is ClaimState.RUNNING:
            raise IdempotencyRunning("the first request with this key is still running: wait")
        if claim.state is ClaimState.NEW:
            self._held.claims[owner] = key
        return _decode(claim.payload) if claim.state is ClaimState.DONE else None

    async def finish(
        self,
        request: RouteRequest,
        owner: str,
        completion: Completion,
        patience_s: float = INSIST_S,
    ) -> None:
        """Keep the completion, which a retry would pay again. Raises StorageUnavailable."""
        if not request.options.idempotency_key:
            return
        key, payload = _key(request, owner), _encode(completion)
        keep_s, print_ = self._settings.keep_s, _fingerprint(request)
        await retry_write(
            lambda: self._idempotency.finish(key, payload, keep_s, print_), patience_s
        )

    def leave(self, owner: str) -> None:
        """Renew the claim no longer, if there is one: unless it is finished, it lapses soon."""
        self._held.claims.pop(owner, None)

    async def release(self, request: RouteRequest, owner: str) -> None:
        """Does nothing for another owner's claim, so it is safe whatever `begin` came to.

        It is not renewed from here on: it lapses soon where this cannot be written.
        """
        if request.options.idempotency_key:
            self.leave(owner)
            key = _key(request, owner)
            await retry_write(lambda: self._idempotency.release(key))


def _fingerprint(request: RouteRequest) -> str:
    return request_digest(request.chat, request.options)


def _key(request: RouteRequest, owner: str) -> ClaimKey:
    return ClaimKey(request.tenant.name, request.options.idempotency_key, owner)
