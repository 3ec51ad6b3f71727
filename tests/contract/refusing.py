"""What providers refuse, as their documentation has it: the reasons for a 400 in a body as sent."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

Json = dict[str, Any]
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CLAUDE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_GEMINI_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_MISTRAL_ID = re.compile(r"[A-Za-z0-9]{9}")
_MEDIA = ("image/jpeg", "image/png", "image/gif", "image/webp")
_OPENAI_FIELDS = {
    *("model", "messages", "tools", "tool_choice", "response_format", "temperature", "top_p"),
    *("stop", "seed", "logprobs", "max_tokens", "max_completion_tokens", "stream"),
    *("stream_options", "reasoning_effort"),
}
_OPENAIS_OWN = {"seed", "stream_options", "max_completion_tokens"}
_MISTRAL_FIELDS = _OPENAI_FIELDS - _OPENAIS_OWN | {"random_seed"}


NO_SIGNATURE = "skip_thought_signature_validator"


def signature_of(text: Any) -> str:
    """Returns what stands for a text and no other."""
    return hashlib.sha256(json.dumps(text, sort_keys=True).encode()).hexdigest()[:32]


def is_blank(text: Any) -> bool:
    return not isinstance(text, str) or not text.strip()


def openai(body: Json) -> Iterator[str]:
    """Chat completions as OpenAI's own models take them."""
    yield from (f"unknown field {name}" for name in {*body} - _OPENAI_FIELDS)
    yield from _openai_turns(body["messages"])
    if "max_tokens" in body:
        yield "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    if len(body.get("stop", ())) > 4:
        yield "at most 4 stop sequences"
    if "tool_choice" in body and not body.get("tools"):
        yield "tool_choice without tools"
    for tool in body.get("tools", ()):
        schema = tool["function"].get("parameters", {"type": "object", "properties": {}})
        if schema.get("type") != "object" or "properties" not in schema:
            yield "parameters are no object with properties"
    form = body.get("response_format") or {}
    if form.get("type") == "json_object" and "json" not in json.dumps(body["messages"]).lower():
        yield "messages must contain the word 'json'"
    if form.get("type") == "json_schema" and form["json_schema"]["schema"].get("type") != "object":
        yield "schema must be of type object"


def mistral(body: Json) -> Iterator[str]:
    """The same protocol at Mistral's: fields it does not know are refused."""
    yield from (
        f"Extra inputs are not permitted: {n}" for n in {*body} - _MISTRAL_FIELDS - {"random_seed"}
    )
    yield from _openai_turns(body["messages"], ids=_MISTRAL_ID)
    if body.get("temperature", 0) > 1.5:
        yield "temperature above 1.5"
    for tool in body.get("tools", ()):
        if "parameters" not in tool["function"]:
            yield "parameters: field required"


def _openai_turns(messages: list[Json], ids: re.Pattern[str] | None = None) -> Iterator[str]:
    waiting: list[str] = []
    for message in messages:
        yield from _openai_content(message)
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                yield "a result without its call"
            waiting = [each for each in waiting if each != message["tool_call_id"]]
            continue
        if waiting:
            yield "tool_call_ids did not have response messages"
        waiting = [call["id"] for call in message.get("tool_calls", ())]
        yield from _openai_calls(message.get("tool_calls", ()), ids)
    if waiting or not messages:
        yield "tool_call_ids did not have response messages"


def _openai_calls(calls: Sequence[Json], ids: re.Pattern[str] | None) -> Iterator[str]:
    if len({call["id"] for call in calls}) != len(calls):
        yield "an id twice"
    for call in calls:
        if not (ids.fullmatch(call["id"]) if ids else 0 < len(call["id"]) <= 40):
            yield f"id {call['id']}"
        if not _NAME.fullmatch(call["function"]["name"]):
            yield "name of a function"
        if not isinstance(json.loads(call["function"]["arguments"]), dict):
            yield "arguments are no object"


def _openai_content(message: Json) -> Iterator[str]:
    content = message["content"]
    if content is None:
        if not message.get("tool_calls"):
            yield "content null without calls"
    elif isinstance(content, list):
        if message["role"] != "user":
            yield "parts of others than the user"
        yield from ("blank part" for p in content if p["type"] == "text" and is_blank(p["text"]))
    elif message["role"] != "tool" and is_blank(content):
        yield "blank content"


def anthropic(body: Json) -> Iterator[str]:
    """Messages."""
    yield from _alternating([m["role"] for m in body["messages"]], "assistant")
    yield from _claude_turns(body)
    if "system" in body and is_blank(body["system"]):
        yield "system: text content blocks must contain non-whitespace text"
    if "max_tokens" not in body:
        yield "max_tokens: field required"
    if body.get("temperature", 0) > 1:
        yield "temperature above 1"
    if {"temperature", "top_p"} <= {*body}:
        yield "`temperature` and `top_p` cannot both be specified"
    if any(is_blank(stop) for stop in body.get("stop_sequences", ())):
        yield "stop sequences must contain non-whitespace"
    if "tool_choice" in body and not body.get("tools"):
        yield "tool_choice without tools"
    for tool in body.get("tools", ()):
        if tool["input_schema"].get("type") != "object":
            yield "input_schema.type: field required"
    yield from _claude_thinking(body)


def _claude_turns(body: Json) -> Iterator[str]:
    waiting: list[str] = []
    seen: set[str] = set()
    for message in body["messages"]:
        results = [b for b in message["content"] if b["type"] == "tool_result"]
        if message["content"][: len(results)] != results:
            yield "tool_result blocks must come first"
        if sorted(b["tool_use_id"] for b in results) != sorted(waiting):
            yield "tool_use ids without tool_result blocks, or results without their call"
        waiting = [b["id"] for b in message["content"] if b["type"] == "tool_use"]
        if seen.intersection(waiting) or len({*waiting}) < len(waiting):
            yield "tool_use ids must be unique"
        seen.update(waiting)
        if (waiting or results) and not body.get("tools"):
            yield "requests with tool_use blocks must define tools"
        yield from _claude_blocks(message)
    if waiting:
        yield "tool_use ids without tool_result blocks"


def _claude_blocks(message: Json) -> Iterator[str]:
    if not message["content"]:
        yield "content must not be empty"
    for block in message["content"]:
        inner = block.get("content")
        if isinstance(inner, str) and is_blank(inner):
            yield "blank result"
        for each in (block, *(inner if isinstance(inner, list) else ())):
            yield from _claude_block(each, message["role"])


def _claude_block(block: Json, role: str) -> Iterator[str]:
    match block:
        case {"type": "text", "text": text} if is_blank(text):
            yield "text content blocks must contain non-whitespace text"
        case {"type": "image"} if role != "user":
            yield "images of others than the user"
        case {"type": "image", "source": {"type": "base64", "media_type": kind}}:
            if kind not in _MEDIA:
                yield "media type"
        case {"type": "tool_use", "id": call_id, "name": name, "input": given}:
            if not _CLAUDE_ID.fullmatch(call_id):
                yield "tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
            if not _NAME.fullmatch(name) or not isinstance(given, dict):
                yield "tool_use"


def _claude_thinking(body: Json) -> Iterator[str]:
    thinking, thoughts = body.get("thinking") or {}, ("thinking", "redacted_thinking")
    for message in body["messages"]:
        yield from _claude_thoughts(message["content"], thoughts)
    if thinking.get("type") != "enabled":
        kinds = {block["type"] for message in body["messages"] for block in message["content"]}
        if kinds.intersection(thoughts):
            yield "thinking blocks where thinking is disabled"
        return
    if not 1_024 <= thinking["budget_tokens"] < body["max_tokens"]:
        yield "max_tokens must be greater than thinking.budget_tokens"
    if body.get("temperature", 1) != 1 or "top_p" in body:
        yield "temperature may only be set to 1 when thinking is enabled"
    if body.get("tool_choice", {}).get("type") in ("any", "tool"):
        yield "thinking may not be enabled when tool_choice forces tool use"
    answers = any(b["type"] == "tool_result" for b in body["messages"][-1]["content"])
    if answers and body["messages"][-2]["content"][0]["type"] not in thoughts:
        yield "expected `thinking` or `redacted_thinking`, but found `tool_use`"


def _claude_thoughts(blocks: list[Json], thoughts: Sequence[str]) -> Iterator[str]:
    if blocks and blocks[-1]["type"] in thoughts:
        yield "the final block in an assistant message cannot be `thinking`"
    for block in blocks:
        if block["type"] == "thinking":
            if {*block} != {"type", "thinking", "signature"}:
                yield "thinking: extra inputs are not permitted"
            if block["signature"] != signature_of(block["thinking"]):
                yield "invalid `signature` in `thinking` block"
        elif block["type"] == "redacted_thinking" and {*block} != {"type", "data"}:
            yield "redacted_thinking: extra inputs are not permitted"


def gemini(body: Json) -> Iterator[str]:
    """GenerateContent."""
    yield from _alternating([c["role"] for c in body["contents"]], "model")
    config = body.get("generationConfig", {})
    if "responseMimeType" in config and body.get("tools"):
        yield "Function calling with a response mime type is unsupported"
    if len(config.get("stopSequences", ())) > 5:
        yield "at most 5 stop sequences"
    if not -(2**31) <= config.get("seed", 0) < 2**31:
        yield "seed (TYPE_INT32)"
    if "toolConfig" in body and not body.get("tools"):
        yield "toolConfig without tools"
    asked: list[str] = []
    for content in body["contents"]:
        parts = content["parts"]
        answered = [p["functionResponse"]["name"] for p in parts if "functionResponse" in p]
        if answered != asked:
            yield "the number of function response parts must equal that of function call parts"
        asked = [p["functionCall"]["name"] for p in parts if "functionCall" in p]
        yield from _gemini_parts(parts)
    if asked:
        yield "function calls without responses"


def _gemini_parts(parts: list[Json]) -> Iterator[str]:
    if not parts:
        yield "must include at least one parts field"
    calls = [part for part in parts if "functionCall" in part]
    if calls and not calls[0].get("thoughtSignature"):
        yield "Function call is missing a thought_signature in functionCall parts"
    for part in parts:
        signed = part["functionCall"]["args"] if "functionCall" in part else part.get("text")
        told = part.get("thoughtSignature", NO_SIGNATURE)
        if told not in (NO_SIGNATURE, signature_of(signed)):
            yield "Thought signature is not valid"
    for part in parts:
        if "text" in part and is_blank(part["text"]) and "thoughtSignature" not in part:
            yield "empty text parameter"
        if "fileData" in part and not part["fileData"].get("mimeType"):
            yield "mimeType of fileData"
        call = part.get("functionCall") or part.get("functionResponse")
        if call and not _GEMINI_NAME.fullmatch(call["name"]):
            yield "Invalid function name"
        if "functionCall" in part and not isinstance(part["functionCall"]["args"], dict):
            yield "args"


def _alternating(roles: list[str], other: str) -> Iterator[str]:
    if not roles or roles[0] != "user":
        yield "first message must use the user role"
    if any(a == b for a, b in pairwise(roles)):
        yield f"roles must alternate between user and {other}"


def thinker(body: Json) -> Iterator[str]:
    """Chat completions of models that want their reasoning back within a loop, as Kimi's do."""
    yield from _openai_turns(body["messages"])
    for at, message in enumerate(body["messages"]):
        if message.get("tool_calls") and not isinstance(message.get("reasoning_content"), str):
            yield f"reasoning_content is missing in assistant tool call message at index {at}"


def perplexity(body: Json) -> Iterator[str]:
    """Chat completions at Perplexity's."""
    yield from _openai_turns(body["messages"])
    roles = [m["role"] for m in body["messages"]]
    if "system" in roles[1:]:
        yield "system messages must come first"
    turns = [role for role, after in pairwise([*roles, ""]) if not role == after == "tool"]
    turns = ["user" if role == "tool" else role for role in turns[turns[0] == "system" :]]
    yield from _alternating(turns, "assistant")


REFUSALS: dict[str, Callable[[Json], Iterator[str]]] = {
    "openai": openai,
    "anthropic": anthropic,
    "gemini": gemini,
}
