"""A caller's request goes on as it was written to providers of its own protocol, else in theirs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from router.adapters.providers.sending.schemas import schema_of
from router.adapters.providers.sending.wishes import translated
from router.domain.catalog import Deployment
from router.domain.chat import WRITTEN_BY, ChatRequest, Original

Body = dict[str, Any]
ROUTED: Final = frozenset(
    {
        *("model", "stream", "stream_options"),
        *("max_tokens", "max_completion_tokens", "max_output_tokens"),
    }
)
"""Fields that the router always writes."""
CACHE_CONTROL: Final = "cache_control"
REASONED: Final = ("reasoning_content", "reasoning", "reasoning_details")
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def passed_on(
    built: Body,
    chat: ChatRequest,
    original: Original,
    deployment: Deployment,
    *,
    protocol: str,
    changed: Collection[str] = (),
) -> Body:
    """Returns a body with all that its caller wrote.

    built: written from the chat, in this protocol. changed: fields of it that have to differ from
    the caller's.
    """
    if original.protocol != protocol:
        wishes = translated(
            written(original), original.protocol, protocol, has_tools=bool(chat.tools)
        )
        return _with(built, without_configured(wishes, deployment))
    kept = {
        name: value
        for name, value in written(original).items()
        if name not in ROUTED
        and name not in changed
        and (name not in built or value not in (None, []))
    }
    body = built | kept
    if deployment.rules.parameters:
        extras = {n: v for n, v in kept.items() if n not in built}
        for name in extras.keys() - without_configured(extras, deployment).keys():
            del body[name]
    return unmarked(body) if CACHE_CONTROL in deployment.rules.omit else body


def written(original: Original) -> Body:
    """Returns a caller's body. A number that is too large becomes null: JSON can't hold it."""
    try:
        return _decode(original.body)
    except msgspec.DecodeError:
        return dict(schema_of(original.body.decode()))


def without_configured(extras: Body, deployment: Deployment) -> Body:
    """Returns a caller's options without those that the deployment sets by its own."""
    if not deployment.rules.parameters:
        return extras
    configured = json.loads(deployment.rules.parameters)
    return {name: value for name, value in extras.items() if name not in configured}


def _with(body: Body, more: Mapping[str, Any]) -> Body:
    """Put options in; what the chat itself says is stronger."""
    for name, value in more.items():
        known = body.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            body[name] = value | known
        else:
            body.setdefault(name, value)
    return body


def unmarked(value: Any) -> Any:
    """Returns a value of JSON without marks for caches, wherever they stand."""
    if isinstance(value, dict):
        return {n: unmarked(each) for n, each in value.items() if n != CACHE_CONTROL}
    return [unmarked(each) for each in value] if isinstance(value, list) else value


def as_system(messages: list[Body]) -> list[Body]:
    """Returns messages of a developer as the system's: few servers know the newer name."""
    return [m | {"role": "system"} if m.get("role") == "developer" else m for m in messages]


def thought_here(messages: list[Body], model: str) -> list[Body]:
    """Returns turns without what another model of this service thought, and without its marks."""
    return [_thought_here(message, model) for message in messages]


def _thought_here(message: Body, model: str) -> Body:
    content = message.get("content")
    if not isinstance(content, list) or not any(WRITTEN_BY in block for block in content):
        return message
    own = [block for block in content if block.get(WRITTEN_BY, model) == model]
    bare = [{n: v for n, v in block.items() if n != WRITTEN_BY} for block in own]
    return message | {"content": bare}


def with_wish(messages: list[Body], wish: str) -> list[Body]:
    """Put words behind the system's messages that stand first; "" for none."""
    if not wish:
        return messages
    system = ("system", "developer")
    first = next((i for i, m in enumerate(messages) if m.get("role") not in system), len(messages))
    return [*messages[:first], {"role": "system", "content": wish}, *messages[first:]]


def reasoned_here(messages: list[Body], model: str) -> list[Body]:
    """Returns messages without what another model of this service reasoned, and without marks."""
    return [_reasoned_here(m, model) if WRITTEN_BY in m else m for m in messages]


def _reasoned_here(message: Body, model: str) -> Body:
    foreign = () if message[WRITTEN_BY] == model else REASONED
    return {n: v for n, v in message.items() if n not in (WRITTEN_BY, *foreign)}


def with_reasoning(messages: list[Body], built: list[Body]) -> list[Body]:
    """Returns messages with what their model reasoned, where only the built ones have it."""
    pairs = [*zip(messages, built, strict=True)]
    told = [{n: b[n] for n in REASONED if n in b and n not in m} for m, b in pairs]
    return [own | m if own else m for own, m in zip(told, messages, strict=True)]


def stream_options_of(original: Original) -> Body:
    found = written(original).get("stream_options")
    return found if isinstance(found, dict) else {}


def strict_as_asked(tools: list[Body], original: Original) -> list[Body]:
    """Returns tools of chat completions that are strict where those of responses are."""
    asked = written(original).get("tools") or []
    strict = [each.get("strict") for each in asked]
    return [
        tool if told is None else tool | {"function": tool["function"] | {"strict": told}}
        for tool, told in zip(tools, strict, strict=True)
    ]


def thought_items_here(items: list[Body], model: str) -> list[Body]:
    """Returns items without what another model of this service reasoned, and without its marks."""
    own = [item for item in items if item.get(WRITTEN_BY, model) == model]
    return [{n: v for n, v in item.items() if n != WRITTEN_BY} for item in own]


def with_headers(
    headers: list[tuple[bytes, bytes]], original: Original, provider: str
) -> list[tuple[bytes, bytes]]:
    """Returns headers with those of a caller of the same protocol; equal names are joined."""
    if original.protocol != provider:
        return headers
    found = dict(headers)
    for name, text in original.headers:
        key, value = name.encode(), text.encode("latin-1")
        found[key] = found[key] + b"," + value if key in found else value
    return [*found.items()]
