"""A verifier asked with patience: nobody waits for an answer that is scored here."""

from __future__ import annotations

import asyncio
from typing import Final

from router.domain.errors import VerifierFailed, VerifierMalformed
from router.ports.upstream import Verifier, VerifierCase
from router.tools.calibrate.collect.prompts import Prompt

TIMEOUT_MS: Final = 30_000
TRIES: Final = 3
PAUSE_S: Final = 0.5


class PatientVerifier:
    """Asks a verifier with patience. name: of whoever scores, for the journal."""

    def __init__(self, verifier: Verifier, name: str, timeout_ms: float = TIMEOUT_MS) -> None:
        self._verifier = verifier
        self._timeout_ms = timeout_ms
        self.name = name

    async def verify(self, prompt: Prompt, arm: str, answer: str) -> float:
        """Raises VerifierFailed, also where the verifier abstains."""
        case = VerifierCase(prompt.chat, arm, answer, reference=prompt.reference, id=prompt.id)
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(PAUSE_S * 2**attempt)
            try:
                quality = await self._verifier.verify(case, self._timeout_ms)
            except VerifierMalformed:
                raise
            except VerifierFailed:
                continue
            if quality is None:
                raise VerifierFailed("the verifier abstained")
            return quality
        raise VerifierFailed("the verifier did not answer: see that it runs at --verifier")
