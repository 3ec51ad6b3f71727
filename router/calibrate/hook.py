"""A verifier behind a URL: POST {prompt, messages, answer, reference, arm}, {"quality": q} back."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httpx
import msgspec

from router.calibrate.prompts import Prompt
from router.core.errors import RouterError

TIMEOUT_S: Final = 30.0
TRIES: Final = 3
PAUSE_S: Final = 0.5
MAX_BODY_BYTES: Final = 64 * 1024


class VerifierFailed(RouterError):
    """No quality was had: it was away, too slow, or answered something else."""

    reason = "VERIFIER_FAILED"


class _Verdict(msgspec.Struct):
    quality: float


class HttpVerifier:
    """Implements `router.calibrate.scoring.Verifier`. client: follows no redirects."""

    def __init__(self, client: httpx.AsyncClient, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self._client = client
        self._url = url
        self._timeout_s = timeout_s

    @property
    def name(self) -> str:
        return self._url

    async def verify(self, prompt: Prompt, arm: str, answer: str) -> float:
        body = msgspec.json.encode(_case(prompt, arm, answer))
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(PAUSE_S * 2**attempt)
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._post(body)
            except (TimeoutError, httpx.HTTPError, OSError):
                continue
        raise VerifierFailed("the verifier did not answer: see that it runs at --verifier")

    async def _post(self, body: bytes) -> float:
        headers = {"content-type": "application/json"}
        async with self._client.stream(
            "POST", self._url, content=body, headers=headers
        ) as response:
            response.raise_for_status()
            said = bytearray()
            async for chunk in response.aiter_bytes():
                said += chunk
                if len(said) > MAX_BODY_BYTES:
                    raise _odd()
        try:
            quality = msgspec.json.decode(bytes(said), type=_Verdict).quality
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise _odd() from None
        if not 0 <= quality <= 1:
            raise _odd()
        return quality


def _case(prompt: Prompt, arm: str, answer: str) -> dict[str, Any]:
    return {
        "id": prompt.id,
        "prompt": prompt.chat.prompt,
        "messages": [{"role": str(m.role), "content": m.text} for m in prompt.chat.messages],
        "reference": prompt.reference,
        "answer": answer,
        "arm": arm,
    }


def _odd() -> VerifierFailed:
    return VerifierFailed('the verifier must answer {"quality": a number from 0 to 1}')
