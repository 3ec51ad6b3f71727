"""The parts of responses in OpenAI's form: items, counts, and what is repeated of a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import UNSET

from router.domain.chat import RESPONSES, Answer, Beside, Usage
from router.http.opaque import packed
from router.http.openai_form import PROTOCOL

Object = dict[str, Any]
_decode = msgspec.json.Decoder(dict[str, Any]).decode
ECHO: Final[Object] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": False,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""Values that a response says of its request, where that says nothing."""
TOOL: Final[Object] = {"description": None, "parameters": None, "strict": True}


def echoed(body: Object) -> Object:
    """Returns the fields of a request that its response repeats."""
    told = {name: value for name, value in body.items() if name in ECHO and value is not None}
    if isinstance(text := told.get("text"), dict):
        told["text"] = ECHO["text"] | {n: v for n, v in text.items() if v is not None}
    if isinstance(reasoning := told.get("reasoning"), dict):
        told["reasoning"] = ECHO["reasoning"] | reasoning
    if tools := told.get("tools"):
        told["tools"] = [TOOL | tool for tool in tools]
    return ECHO | told


def message_of(id_: str, status: str) -> Object:
    return {"type": "message", "id": id_, "status": status, "role": "assistant", "content": []}


def call_of(id_: str, call_id: str, name: str, arguments: str, status: str) -> Object:
    told = {"type": "function_call", "id": id_, "call_id": call_id, "name": name}
    return told | {"arguments": arguments, "status": status}


@dataclass(frozen=True, slots=True)
class ToldBeside:
    """The parts of a chat completion that have a place in a response."""

    logprobs: list[Object]
    thought: str = ""
    tier: str = ""


def chunk_of(*besides: Beside) -> ToldBeside:
    """Returns what stands beside an answer; nothing of another protocol."""
    for beside in besides:
        if beside.protocol == PROTOCOL:
            told = _decode(beside.data)
            choice = (told.get("choices") or [{}])[0]
            delta = choice.get("delta") or {}
            thought = delta.get("reasoning_content") or delta.get("reasoning")
            logprobs = objects_of(object_of(choice.get("logprobs")).get("content"))
            tier = told.get("service_tier")
            return ToldBeside(logprobs, _text(thought), _text(tier))
    return ToldBeside([])


def own_of(beside: Beside) -> Object:
    return _decode(beside.data)


def response_of(answer: Answer) -> Object:
    """Returns the provider's own response; {} where it spoke another protocol."""
    besides = () if answer.beside is UNSET else answer.beside
    own = (_decode(each.data) for each in besides if each.protocol == RESPONSES)
    return next((told["response"] for told in own if "response" in told), {})


def events_of(response: Object) -> Iterator[Object]:
    """Yields the events of a response that came as a whole, all but the last."""
    begun = response | {"status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(objects_of(response.get("output"))):
        place = {"output_index": index}
        yield {"type": "response.output_item.added", "item": _opened(item)} | place
        yield from _pieces(item, place | {"item_id": item.get("id", "")})
        yield {"type": "response.output_item.done", "item": item} | place


def _opened(item: Object) -> Object:
    began: dict[str, Object] = {
        "message": {"content": []},
        "function_call": {"arguments": ""},
    }
    own = began.get(_type_of(item))
    return item if own is None else item | {"status": "in_progress"} | own


def _type_of(item: Object) -> str:
    return _text(item.get("type")) or "message"


def _pieces(item: Object, place: Object) -> Iterator[Object]:
    if _type_of(item) == "function_call":
        arguments, name = item.get("arguments"), item.get("name")
        kind = "response.function_call_arguments"
        yield {"type": f"{kind}.delta", "delta": arguments} | place
        yield {"type": f"{kind}.done", "arguments": arguments, "name": name} | place
    elif _type_of(item) == "message":
        for index, part in enumerate(objects_of(item.get("content"))):
            yield from _part_pieces(part, place | {"content_index": index})


def _part_pieces(part: Object, at: Object) -> Iterator[Object]:
    name = "refusal" if part.get("type") == "refusal" else "text"
    kind = "response.refusal" if name == "refusal" else "response.output_text"
    logprobs = {} if name == "refusal" else {"logprobs": part.get("logprobs") or []}
    text = _text(part.get(name))
    yield {"type": "response.content_part.added", "part": part | {name: ""}} | at
    yield {"type": f"{kind}.delta", "delta": text} | at | logprobs
    yield {"type": f"{kind}.done", name: text} | at | logprobs
    yield {"type": "response.content_part.done", "part": part} | at


def object_of(value: Any) -> Object:
    """Returns nothing for what is no object: what providers tell beside words has any form."""
    return value if isinstance(value, dict) else {}


def objects_of(value: Any) -> list[Object]:
    items = value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, dict)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def part_of(text: str, logprobs: list[Object], *, refusal: bool) -> Object:
    if refusal:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def summary_of(thought: str, id_: str) -> Object:
    summary = [{"type": "summary_text", "text": thought}]
    return {"type": "reasoning", "id": f"rs_{id_}", "summary": summary, "status": "completed"}


def reasoned(answer: Answer, new_id: Callable[[], str]) -> Iterator[Object]:
    """Yields what a client hands back with the answer, in the place of encrypted reasoning."""
    for part in answer.opaque:
        told = {"type": "reasoning", "id": f"rs_{new_id()}", "summary": []}
        yield told | {"encrypted_content": packed(part)}


def usage_of(usage: Usage) -> Object:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.written_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
