"""Options of one protocol in another: what has a meaning there, by one table; the rest is left out.

A wish is what a field means whatever it is called. Each protocol says how it reads wishes from a
body, and how it writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Body = dict[str, Any]
EFFORT, PARALLEL, TOP_K, USER = "effort", "parallel", "top_k", "user"
BUDGETS: Final[Mapping[str, int]] = {"low": 2_048, "medium": 8_192, "high": 24_576}
_NAMES: Final[Mapping[str, str]] = {"minimal": "low", "xhigh": "high", "max": "high"}
SHARED: Final = (
    *("service_tier", "metadata", "prompt_cache_key", "prompt_cache_retention"),
    *("safety_identifier", "top_logprobs"),
)
"""Fields of chat completions that responses have under the same name."""
ALIKE: Final = (
    *("presence_penalty", "frequency_penalty", "logit_bias", "verbosity", "prediction"),
    *("service_tier", "store", "metadata", "prompt_cache_key", "prompt_cache_retention"),
    *("safety_identifier", "top_logprobs", "logprobs"),
)
"""Fields that OpenAI's two protocols share, and perhaps others."""


def translated(body: Body, protocol: str, provider: str, *, has_tools: bool) -> Body:
    """Returns the fields of a provider's protocol for what a caller wished in its own."""
    wishes = {name: value for name, value in _READ[protocol](body) if value is not None}
    if not has_tools:
        wishes.pop(PARALLEL, None)
    write = _WRITE.get(provider)
    return {name: value for name, value in write(wishes) if value is not None} if write else {}


def _of_chat(body: Body) -> Iterator[tuple[str, Any]]:
    yield EFFORT, _effort(body.get("reasoning_effort"))
    yield PARALLEL, body.get("parallel_tool_calls")
    yield TOP_K, body.get("top_k")
    yield USER, body.get("user") or body.get("safety_identifier")
    yield from _alike(body)


def _of_responses(body: Body) -> Iterator[tuple[str, Any]]:
    yield from _of_chat(body)
    yield EFFORT, _effort(_object(body, "reasoning").get("effort"))
    yield "verbosity", _object(body, "text").get("verbosity")
    asked = "message.output_text.logprobs" in (body.get("include") or ())
    yield "logprobs", True if asked or body.get("top_logprobs") else None


def _of_messages(body: Body) -> Iterator[tuple[str, Any]]:
    thinking, choice = _object(body, "thinking"), _object(body, "tool_choice")
    budget = thinking.get("budget_tokens")
    if thinking.get("type") == "enabled" and isinstance(budget, int):
        yield EFFORT, next((n for n, most in BUDGETS.items() if budget <= most), "high")
    yield EFFORT, _effort(_object(body, "output_config").get("effort"))
    yield PARALLEL, False if choice.get("disable_parallel_tool_use") else None
    yield TOP_K, body.get("top_k")
    yield USER, _object(body, "metadata").get("user_id")


def _alike(body: Body) -> Iterator[tuple[str, Any]]:
    yield from ((name, body.get(name)) for name in ALIKE)


def _object(body: Body, name: str) -> Body:
    found = body.get(name)
    return found if isinstance(found, dict) else {}


def _effort(told: Any) -> str | None:
    """Returns low, medium or high; None for no wish, and for none at all, which few can keep."""
    named = _NAMES.get(told, told) if isinstance(told, str) else None
    return named if named in BUDGETS else None


def _to_chat(wishes: Body) -> Iterator[tuple[str, Any]]:
    yield "reasoning_effort", wishes.get(EFFORT)
    yield "parallel_tool_calls", wishes.get(PARALLEL)
    yield "user", wishes.get(USER)
    yield from _alike(wishes)


def _to_messages(wishes: Body) -> Iterator[tuple[str, Any]]:
    if EFFORT in wishes:
        yield "thinking", {"type": "enabled", "budget_tokens": BUDGETS[wishes[EFFORT]]}
    if wishes.get(PARALLEL) is False:
        yield "tool_choice", {"type": "auto", "disable_parallel_tool_use": True}
    yield "top_k", wishes.get(TOP_K)
    if USER in wishes:
        yield "metadata", {"user_id": wishes[USER]}


def _to_gemini(wishes: Body) -> Iterator[tuple[str, Any]]:
    config = {
        "topK": wishes.get(TOP_K),
        "presencePenalty": wishes.get("presence_penalty"),
        "frequencyPenalty": wishes.get("frequency_penalty"),
    }
    if EFFORT in wishes:
        config["thinkingConfig"] = {"thinkingBudget": BUDGETS[wishes[EFFORT]]}
    yield "generationConfig", {n: v for n, v in config.items() if v is not None} or None


def _to_responses(wishes: Body) -> Iterator[tuple[str, Any]]:
    if EFFORT in wishes:
        yield "reasoning", {"effort": wishes[EFFORT]}
    if "verbosity" in wishes:
        yield "text", {"verbosity": wishes["verbosity"]}
    yield "parallel_tool_calls", wishes.get(PARALLEL)
    yield "user", wishes.get(USER)
    for name in SHARED:
        yield name, wishes.get(name)


_READ: Final[Mapping[str, Callable[[Body], Iterator[tuple[str, Any]]]]] = {
    "openai": _of_chat,
    "responses": _of_responses,
    "anthropic": _of_messages,
}
_WRITE: Final[Mapping[str, Callable[[Body], Iterator[tuple[str, Any]]]]] = {
    "openai": _to_chat,
    "anthropic": _to_messages,
    "gemini": _to_gemini,
    "responses": _to_responses,
}
