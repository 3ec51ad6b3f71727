"""Server-sent events, as far as chat APIs use them (WHATWG HTML, 9.2): bounded, data only."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from router.core.errors import ProviderMalformed

DONE = b"[DONE]"


async def events_of(chunks: AsyncIterator[bytes], max_bytes: int) -> AsyncGenerator[bytes]:
    """The data of every event, until OpenAI's end mark or the end of the body.

    Raises ProviderMalformed past max_bytes in all.
    """
    rest, data, seen = b"", [], 0
    async for chunk in chunks:
        seen += len(chunk)
        if seen > max_bytes:
            raise ProviderMalformed(f"the provider's stream exceeds {max_bytes} bytes")
        *lines, rest = (rest + chunk).split(b"\n")
        for line in (raw.rstrip(b"\r") for raw in lines):
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif not line and data:
                event, data = b"\n".join(data), []
                if event == DONE:
                    return
                yield event
