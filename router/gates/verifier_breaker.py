"""A verifier within bounds: asked in time, and left alone while it fails or abstains too often."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

from router.domain import MS_PER_S
from router.domain.bounds import Few, Milliseconds, Share, Tenants
from router.domain.chat import Answer, ChatRequest
from router.domain.errors import VerifierFailed, VerifierOff
from router.ports import Clock
from router.ports.observer import NO_TRACER, Observer, Tracer
from router.ports.upstream import Verifier, VerifierCase

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VerifierBreakerSettings:
    """A program that scores answers: POST {messages, answer, arm, ...}, {"quality": 0..1} back."""

    timeout_ms: Milliseconds = 2_000
    """Longest wait for a score."""
    accept_at: Share = 0.5
    """Least quality that is served without asking the arm above."""
    max_failures: Few = 5
    """Failures or abstentions, of twice as many calls, after which it is left alone."""
    cooldown_ms: Milliseconds = 30_000
    """How long it is left alone."""
    tenants: Tenants = ()
    """Tenants whose answers are posted; empty for all."""


class VerifierBreaker:
    """Implements `router.gates.gate_session.GuardedVerifier`. clock: seconds."""

    def __init__(
        self,
        verifier: Verifier,
        observer: Observer,
        clock: Clock,
        settings: VerifierBreakerSettings,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._tracer = tracer
        self._verifier = verifier
        self._observer = observer
        self._clock = clock
        self._settings = settings
        self._tenants = frozenset(settings.tenants)
        self._failures: deque[bool] = deque(maxlen=2 * settings.max_failures)
        self._off_until_s: float | None = None

    @property
    def accept_at(self) -> float:
        return self._settings.accept_at

    async def check(self) -> None:
        """Raises VerifierOff while it is left alone."""
        if self._is_off():
            raise VerifierOff("the verifier failed or abstained too often and is left alone")

    async def verdict(
        self, chat: ChatRequest, tenant: str, arm: str, answer: Answer, within_ms: float
    ) -> float | None:
        """None when it abstains, fails, is off, has no time left, or is not for this tenant."""
        timeout_ms = min(self._settings.timeout_ms, within_ms)
        if timeout_ms <= 0 or (self._tenants and tenant not in self._tenants) or self._is_off():
            return None
        case = VerifierCase(chat, arm, answer.text, answer.tool_calls)
        try:
            with self._tracer.stage("verifier") as span:
                quality = await self._verifier.verify(case, timeout_ms)
                span.note(arm=arm, abstained=quality is None, quality=quality or 0.0)
        except VerifierFailed:
            # A caller's own haste says nothing of the verifier.
            if timeout_ms == self._settings.timeout_ms:
                self._count("failed")
            return None
        self._count("abstained" if quality is None else "")
        return quality

    def _is_off(self) -> bool:
        return self._off_until_s is not None and self._clock() < self._off_until_s

    def _count(self, trouble: str) -> None:
        """Count a call and switch off or on by it. trouble: "" for none."""
        settings = self._settings
        if trouble:
            self._observer.degraded(f"verifier_{trouble}")
        probing = self._off_until_s is not None
        if probing and not trouble:
            self._off_until_s = None
            self._failures.clear()
            self._observer.verifier(serving=True)
            _log.warning("the verifier is asked again")
        self._failures.append(bool(trouble))
        if trouble and (probing or sum(self._failures) >= settings.max_failures):
            self._off_until_s = self._clock() + settings.cooldown_ms / MS_PER_S
            self._observer.verifier(serving=False)
            _log.warning(
                "the verifier is left alone for %d ms: it %s", settings.cooldown_ms, trouble
            )
