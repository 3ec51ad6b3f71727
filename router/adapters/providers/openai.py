"""OpenAI chat completions, the protocol most providers and local servers speak."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from router.adapters.providers.dialect import Json, given
from router.adapters.providers.openai_answer import OpenAIAssembler, read_answer
from router.domain.catalog import Deployment
from router.domain.chat import (
    Answer,
    ChatRequest,
    Format,
    ImagePart,
    Message,
    ResponseFormat,
    Role,
    TextPart,
    Tool,
    ToolMode,
)


class OpenAI:
    """Implements `Dialect`."""

    def path(self, deployment: Deployment, *, stream: bool) -> str:
        del deployment, stream
        return "/chat/completions"

    def headers(self, key: str) -> Mapping[str, str]:
        return {"authorization": f"Bearer {key}"} if key else {}

    def body(self, deployment: Deployment, chat: ChatRequest, *, stream: bool) -> Json:
        sampling = chat.sampling
        body = given(
            model=deployment.model,
            messages=[_message(m) for m in chat.messages],
            tools=[_tool(t) for t in chat.tools],
            tool_choice=_tool_choice(chat),
            response_format=_format(chat.response_format),
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            stop=list(sampling.stop),
            seed=sampling.seed,
            logprobs=deployment.logprobs or None,
        )
        if sampling.max_output_tokens is not None:
            body[_limit_name(deployment)] = sampling.max_output_tokens
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body

    def answer(self, data: bytes, deployment: Deployment, chat: ChatRequest) -> Answer:
        return read_answer(data, deployment, chat)

    def assembler(self, deployment: Deployment, chat: ChatRequest) -> OpenAIAssembler:
        return OpenAIAssembler(deployment, chat)


def _limit_name(deployment: Deployment) -> str:
    """OpenAI's reasoning models refuse the older name that other servers still need."""
    is_own = urlsplit(deployment.base_url).hostname == "api.openai.com"
    return "max_completion_tokens" if is_own else "max_tokens"


def _message(message: Message) -> Json:
    wire = given(role=message.role.value, tool_call_id=message.tool_call_id)
    if message.tool_calls:
        wire["tool_calls"] = [
            {
                "id": c.id,
                "type": "function",
                "function": {"name": c.name, "arguments": c.arguments},
            }
            for c in message.tool_calls
        ]
    if any(isinstance(part, ImagePart) for part in message.parts):
        wire["content"] = [_part(part) for part in message.parts]
    elif message.text or message.role is not Role.ASSISTANT:
        wire["content"] = message.text
    return wire


def _part(part: TextPart | ImagePart) -> Json:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": given(url=part.url, detail=part.detail)}


def _tool(tool: Tool) -> Json:
    parameters = json.loads(tool.parameters) if tool.parameters else None
    function = given(name=tool.name, description=tool.description, parameters=parameters)
    return {"type": "function", "function": function}


def _tool_choice(chat: ChatRequest) -> Any:
    choice = chat.tool_choice
    if choice.name:
        return {"type": "function", "function": {"name": choice.name}}
    is_default = choice.mode is ToolMode.AUTO or not chat.tools
    return None if is_default else choice.mode.value


def _format(wanted: ResponseFormat) -> Json | None:
    if wanted.kind is Format.TEXT:
        return None
    if wanted.kind is Format.JSON_OBJECT:
        return {"type": "json_object"}
    schema = json.loads(wanted.schema)
    named = {"name": wanted.name, "schema": schema, "strict": _is_closed(schema)}
    return {"type": "json_schema", "json_schema": named}


def _is_closed(schema: Any) -> bool:
    """Strict mode takes only objects that require every property and allow no other."""
    if isinstance(schema, list):
        return all(map(_is_closed, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        names, required = schema.get("properties") or {}, schema.get("required") or ()
        if schema.get("additionalProperties") is not False or {*required} != {*names}:
            return False
    return all(map(_is_closed, schema.values()))
