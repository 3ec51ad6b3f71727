"""Fits a conversation to what every dialect demands of one, whichever models wrote it.

Each step takes messages and yields messages: blanks go, each call has one result and each result
a call, ids are of the dialect's form, images stand where they may.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from router.adapters.providers.sending.call_ids import CallIds, IdForm
from router.adapters.providers.sending.schemas import describes_object, schema_of
from router.domain.chat import (
    ChatRequest,
    Format,
    ImagePart,
    Message,
    Part,
    ResponseFormat,
    Role,
    TextPart,
    ToolCall,
)

NO_RESULT = "The tool gave no result."
STRAY_RESULT = "Result of an earlier tool call:"
PICTURED = "The images that belong to the message above:"
BEGINNING = Message(Role.USER, (TextPart("(start of the conversation)"),))
RECEIVED = Message(Role.ASSISTANT, (TextPart("(result received)"),))
JSON_WISH = "Answer with one JSON object and nothing else."
SCHEMA_WISH = "Answer with JSON and nothing else. It must match this JSON Schema: "
OBJECT_SCHEMA_WISH = f"{JSON_WISH} It must match this JSON Schema: "


def fitted(
    messages: Iterable[Message], form: IdForm, *, images_in_results: bool = False
) -> list[Message]:
    """Returns messages that say the same. images_in_results: a tool's result may hold images."""
    ids = CallIds(form)
    told = list(map(_without_blanks, messages))
    paired = _paired([m for m in told if _says(m)], ids)
    return list(_with_images_asked(paired, images_in_results=images_in_results))


def _without_blanks(message: Message) -> Message:
    """A white-space-only text says nothing, and some refuse it."""
    parts = tuple(p for p in message.parts if not isinstance(p, TextPart) or not is_blank(p.text))
    return message if len(parts) == len(message.parts) else replace(message, parts=parts)


def _says(message: Message) -> bool:
    return bool(message.content or message.tool_calls) or message.role is Role.TOOL


def is_blank(text: str) -> bool:
    return not text or text.isspace()


@dataclass(slots=True)
class _Slot:
    """One call, and the message that answers it."""

    call: ToolCall
    result: Message | None = None

    def answer(self, call_id: str) -> Message:
        """Returns its result, which a caller may have left out."""
        result = self.result or Message(Role.TOOL, (TextPart(NO_RESULT),))
        return result if result.tool_call_id == call_id else replace(result, tool_call_id=call_id)


@dataclass(slots=True)
class _Turn:
    message: Message
    slots: list[_Slot] = field(default_factory=list)

    def messages(self, ids: CallIds) -> Iterator[Message]:
        """Yields the message, then a result for each of its calls in their order."""
        calls = tuple(ids.renamed(slot.call) for slot in self.slots)
        is_same = calls == self.message.tool_calls
        yield self.message if is_same else replace(self.message, tool_calls=calls)
        for call, slot in zip(calls, self.slots, strict=True):
            yield slot.answer(call.id)


def _paired(messages: Iterable[Message], ids: CallIds) -> Iterator[Message]:
    """Each call is answered by the first result with its id before the id is used again."""
    turns: list[_Turn] = []
    waiting: dict[str, list[_Slot]] = {}
    for message in messages:
        if message.role is not Role.TOOL:
            turns.append(_Turn(message, [_Slot(call) for call in message.tool_calls]))
            waiting |= _by_id(turns[-1].slots)
        elif slots := waiting.get(message.tool_call_id):
            slots.pop(0).result = message
        else:
            turns.append(_Turn(_told(message)))
    for turn in turns:
        yield from turn.messages(ids)


def _by_id(slots: Iterable[_Slot]) -> dict[str, list[_Slot]]:
    by_id: dict[str, list[_Slot]] = {}
    for slot in slots:
        by_id.setdefault(slot.call.id, []).append(slot)
    return by_id


def _told(result: Message) -> Message:
    """Returns a result without its call as words of the user: no dialect takes it otherwise."""
    return Message(Role.USER, (TextPart(STRAY_RESULT), *result.content))


def _with_images_asked(
    messages: Iterable[Message], *, images_in_results: bool
) -> Iterator[Message]:
    """Only the user shows images: those of others follow as the user's, after a call's results."""
    theirs = {Role.USER, Role.TOOL} if images_in_results else {Role.USER}
    shown: list[Part] = []
    for message in messages:
        if shown and message.role is not Role.TOOL:
            yield _showing(shown)
            shown = []
        images = [p for p in message.parts if isinstance(p, ImagePart)]
        if not images or message.role in theirs:
            yield message
            continue
        shown += images
        texts = tuple(p for p in message.parts if not isinstance(p, ImagePart))
        told = replace(message, parts=texts)
        if _says(told):
            yield told
    if shown:
        yield _showing(shown)


def _showing(images: Iterable[Part]) -> Message:
    return Message(Role.USER, (TextPart(PICTURED), *images))


def begun(messages: list[Message]) -> list[Message]:
    """Returns turns that begin with the user's."""
    return [BEGINNING, *messages] if messages and messages[0].role is Role.ASSISTANT else messages


def alternating(messages: Iterable[Message]) -> list[Message]:
    """Returns one system message, then turns of which no two neighbours are of one role."""
    every = list(messages)
    turns: list[Message] = []
    for message in begun([m for m in every if m.role is not Role.SYSTEM]):
        before = turns[-1].role if turns else None
        if before is message.role is not Role.TOOL:
            turns[-1] = _joined(turns[-1], message)
            continue
        if before is Role.TOOL and message.role is Role.USER:
            turns.append(RECEIVED)
        turns.append(message)
    system = "\n\n".join(m.text for m in every if m.role is Role.SYSTEM)
    return [*([Message(Role.SYSTEM, (TextPart(system),))] if system else ()), *turns]


def _joined(first: Message, second: Message) -> Message:
    parts, calls = first.parts + second.parts, first.tool_calls + second.tool_calls
    return replace(first, parts=parts, tool_calls=calls)


def wish_of(wanted: ResponseFormat, *, is_object: bool = True) -> str:
    """Returns the words for the system prompt that ask for JSON; "" where text is wanted."""
    if wanted.kind is Format.TEXT:
        return ""
    if not wanted.schema:
        return JSON_WISH
    return (OBJECT_SCHEMA_WISH if is_object else SCHEMA_WISH) + wanted.schema


def system_of(messages: Iterable[Message], wanted: ResponseFormat) -> str:
    """Returns all system messages in one, and what is wished of the answer's format."""
    texts = [m.text for m in messages if m.role is Role.SYSTEM]
    is_object = not wanted.schema or describes_object(schema_of(wanted.schema))
    return "\n\n".join(filter(None, [*texts, wish_of(wanted, is_object=is_object)]))


def wishing(messages: list[Message], wish: str) -> list[Message]:
    """Put a wish behind the system messages that stand first."""
    first = next((i for i, m in enumerate(messages) if m.role is not Role.SYSTEM), len(messages))
    said = Message(Role.SYSTEM, (TextPart(wish),))
    return [*messages[:first], said, *messages[first:]]


def says_json(chat: ChatRequest) -> bool:
    """True if the word stands in a message, without which some servers refuse to write JSON."""
    return any("json" in m.text.lower() for m in chat.messages)


def merged(turns: Iterable[dict[str, Any]], parts: str) -> list[dict[str, Any]]:
    """Join neighbours of one role: results of parallel tool calls belong together.

    parts: the field that holds a turn's list of parts. Turns without any are left out.
    """
    whole: list[dict[str, Any]] = []
    for turn in turns:
        if not turn[parts]:
            continue
        if whole and whole[-1]["role"] == turn["role"]:
            whole[-1][parts] += turn[parts]
        else:
            whole.append(turn)
    return whole
