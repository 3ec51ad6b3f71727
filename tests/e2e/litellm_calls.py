"""A program: calls a door by LiteLLM's SDK, and writes what came of it. argv: URL, key."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import litellm

QUESTION = [{"role": "user", "content": "How many roads?"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def main(url: str, key: str) -> dict[str, Any]:
    to_openai = {"model": "openai/auto", "api_base": f"{url}/v1", "api_key": key}
    to_anthropic = {"model": "anthropic/auto", "api_base": url, "api_key": key, "max_tokens": 99}
    found: dict[str, Any] = {}
    for name, door in (("openai", to_openai), ("anthropic", to_anthropic)):
        asked = door | {"messages": QUESTION, "num_retries": 0}
        whole = litellm.completion(**asked)
        found[f"{name} whole"] = whole.choices[0].message.content
        found[f"{name} usage"] = [whole.usage.prompt_tokens, whole.usage.completion_tokens]
        pieces = list(litellm.completion(**asked, stream=True))
        found[f"{name} stream"] = "".join(p.choices[0].delta.content or "" for p in pieces)
        called = litellm.completion(**asked, tools=[TOOL])
        calls = called.choices[0].message.tool_calls or []
        found[f"{name} calls"] = [[c.function.name, c.function.arguments] for c in calls]
        refused = door | {"messages": QUESTION, "num_retries": 0, "api_key": "no"}
        found[f"{name} key"] = _error(lambda refused=refused: litellm.completion(**refused))
        unknown = asked | {"model": f"{name}/no-such"}
        found[f"{name} model"] = _error(lambda unknown=unknown: litellm.completion(**unknown))
    found["responses"] = litellm.responses(
        model="openai/auto", input="How many roads?", api_base=f"{url}/v1", api_key=key
    ).output_text
    return found


def _error(call: Callable[[], object]) -> list[object]:
    try:
        call()
    except Exception as error:  # noqa: BLE001 - whichever it makes of it is what is asked
        return [type(error).__name__, getattr(error, "status_code", 0)]
    return ["none", 0]


if __name__ == "__main__":
    litellm.suppress_debug_info = True
    sys.stdout.write(json.dumps(main(*sys.argv[1:])) + "\n")
