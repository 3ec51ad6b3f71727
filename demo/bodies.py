"""Bodies of chat completions: what is asked for, and what is said of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from demo.world import Reply


@dataclass(frozen=True, slots=True)
class Asked:
    """prompt: text of the last user message. results: of tools, after it.

    counted: a stream is to end with its usage.
    """

    model: str
    prompt: str
    stream: bool
    counted: bool
    results: int

    @classmethod
    def read(cls, body: Any) -> Asked:
        """Raises what indexing another shape raises."""
        users = [_text(m.get("content") or "") for m in body["messages"] if m["role"] == "user"]
        options = body.get("stream_options") or {}
        stream, counted = body.get("stream"), options.get("include_usage")
        prompt, model = users[-1] if users else "", str(body.get("model", ""))
        results = [*takewhile("user".__ne__, (m["role"] for m in reversed(body["messages"])))]
        return cls(model, prompt, bool(stream), bool(counted), results.count("tool"))


def _text(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def usage_of(reply: Reply) -> dict[str, Any]:
    """Returns what it says of tokens; of its cache only where it used it."""
    usage: dict[str, Any] = {
        "prompt_tokens": reply.input_tokens,
        "completion_tokens": reply.output_tokens,
        "total_tokens": reply.input_tokens + reply.output_tokens,
    }
    kept = {"cached_tokens": reply.cached_tokens, "cache_write_tokens": reply.written_tokens}
    return usage | ({"prompt_tokens_details": kept} if any(kept.values()) else {})
