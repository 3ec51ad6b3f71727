"""Keeps a request as its caller wrote it, and finds what of it the router does not read itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import msgspec

from router.domain.chat import ChatRequest, Original
from router.doors.checks import Violations
from router.http.opaque import MARK
from router.http.options import IN_METADATA

Object = dict[str, Any]
METADATA: Final = "metadata"
OPAQUE: Final = "router_opaque"
_encode = msgspec.json.Encoder(order="deterministic").encode
ONE_ANSWER: Final = "leave it out: one answer is given"
ROUTED: Final = "leave it out: the router chooses who answers"
AT_CALLER: Final = "leave it out: tools run at the caller"
WHOLE_TALK: Final = "send the whole conversation: nothing is stored"
UNSERVED: Final[Mapping[str, str]] = {
    "best_of": ONE_ANSWER,
    "models": ROUTED,
    "fallbacks": ROUTED,
    "route": ROUTED,
    "provider": ROUTED,
    "plugins": AT_CALLER,
    "mcp_servers": AT_CALLER,
    "container": AT_CALLER,
    "web_search_options": AT_CALLER,
    "functions": "send tools in its place",
    "function_call": "send tool_choice in its place",
    "audio": "leave it out: answers are text",
    "previous_response_id": WHOLE_TALK,
    "conversation": WHOLE_TALK,
    "prompt": WHOLE_TALK,
    "background": "leave it out: wait for the answer",
}
"""Fields that would change what the router does, or that it can't keep its word on."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Parts of a value that are read. fields: of an object. items: of a list. Neither: all."""

    fields: Mapping[str, Shape] | None = None
    items: Shape | None = None


ALL: Final = Shape()


class LazyFields(dict[str, Shape]):
    """Shapes of an object's fields; some hold objects of their own kind."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self._kinds = {each.encode_name: each.type for each in kind.fields}

    def __contains__(self, name: object) -> bool:
        return name in self._kinds

    def __missing__(self, name: str) -> Shape:
        self[name] = found = _shape(self._kinds[name])
        return found


@cache
def shape_of(struct: type[msgspec.Struct]) -> Shape:
    """Returns what is read of a body, by the type that it is decoded to."""
    return _shape(msgspec.inspect.type_info(struct))


def _shape(kind: Any) -> Shape:
    kinds = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
    objects = [each for each in kinds if isinstance(each, msgspec.inspect.StructType)]
    lists = [each for each in kinds if isinstance(each, msgspec.inspect.ListType)]
    return Shape(
        _fields(objects[0].cls) if objects else None,
        _shape(lists[0].item_type) if lists else None,
    )


@cache
def _fields(struct: type[msgspec.Struct]) -> LazyFields:
    return LazyFields(msgspec.inspect.type_info(struct))


def unread(value: Any, shape: Shape) -> Any:
    """Returns what of a value has no place in its shape, None for nothing.

    >>> unread([{"a": 1}, {"a": 1, "b": 2}], Shape(items=Shape({"a": ALL})))
    {'1': {'b': 2}}
    """
    if isinstance(value, dict) and shape.fields is not None:
        known, pairs = shape.fields, value.items()
        return _told({n: unread(v, known[n]) if n in known else v for n, v in pairs})
    if isinstance(value, list) and shape.items is not None:
        items = shape.items
        return _told({str(i): unread(each, items) for i, each in enumerate(value)})
    return None


def _told(found: Object) -> Object | None:
    return {name: value for name, value in found.items() if value is not None} or None


def refuse_unserved(body: Object, found: Violations) -> None:
    for name in UNSERVED.keys() & body.keys():
        if body[name] not in (None, False, [], {}):
            found.add(name, UNSERVED[name])


@dataclass(frozen=True, slots=True)
class OriginalReader:
    """protocol: who speaks it. struct: what bodies are decoded to. owned: takes the router's out.

    headers: those of the protocol that go on.
    """

    protocol: str
    struct: type[msgspec.Struct]
    owned: Callable[[Object], bool]
    headers: tuple[str, ...] = ()

    def add(
        self, chat: ChatRequest, sent: bytes, body: Object, header: Callable[[bytes], str]
    ) -> ChatRequest:
        """Returns the chat with what its caller wrote. body: `sent` decoded, which is changed."""
        is_changed = self.owned(body) | _without_wishes(body)
        headers = {name: header(name.encode()) for name in self.headers}
        extras = unread(body, shape_of(self.struct)) or {}
        if body.get(METADATA):
            extras[METADATA] = body[METADATA]
        original = Original(
            protocol=self.protocol,
            body=_encode(body) if is_changed else sent,
            extras=_encode(extras).decode() if extras else "",
            headers=tuple((name, text) for name, text in headers.items() if text),
        )
        return replace(chat, original=original)


def _without_wishes(body: Object) -> bool:
    """Take the router's keys out of `metadata`. Returns whether there were any."""
    metadata = body.get(METADATA)
    if not isinstance(metadata, dict):
        return False
    kept = {name: value for name, value in metadata.items() if not name.startswith(IN_METADATA)}
    if kept == metadata:
        return False
    body[METADATA] = kept
    if not kept:
        del body[METADATA]
    return True


def own_of_messages(body: Object) -> bool:
    """Take opaque parts out of turns, which the chat holds. Returns whether there were any."""
    found = False
    for turn in body["messages"]:
        if isinstance(turn["content"], list):
            kept = [block for block in turn["content"] if not _is_packed(block)]
            found = found or len(kept) < len(turn["content"])
            turn["content"] = kept
    body["messages"] = [turn for turn in body["messages"] if turn["content"] != []]
    return found


def _is_packed(block: Object) -> bool:
    return block["type"] == "redacted_thinking" and str(block.get("data")).startswith(MARK)


def own_of_chat(body: Object) -> bool:
    """Take opaque parts out of messages, which the chat holds. Returns whether there were any."""
    holding = [message for message in body["messages"] if OPAQUE in message]
    for message in holding:
        del message[OPAQUE]
    return bool(holding)


def own_of_responses(body: Object) -> bool:
    """Take opaque parts out of the input, which the chat holds. Returns whether there were any."""
    if isinstance(body["input"], str):
        return False
    kept = [item for item in body["input"] if not _is_packed_item(item)]
    found = len(kept) < len(body["input"])
    body["input"] = kept
    return found


def _is_packed_item(item: Object) -> bool:
    return str(item.get("encrypted_content")).startswith(MARK)
