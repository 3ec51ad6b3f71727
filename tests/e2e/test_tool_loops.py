"""Loops of tool calls with models that want back what they thought, alone and in turns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from adaptive_router.v1 import chat_pb2, router_pb2

from tests.contract import refusing
from tests.contract.refusing import NO_SIGNATURE, signature_of
from tests.e2e.conftest import Router
from tests.e2e.wire import Asked, Json, Reply, Wire, events, on_uvloop, routed, whole

STEPS = 10
TOOL = chat_pb2.Tool(name="look", parameters='{"type": "object", "properties": {}}')
THINKING = ", parameters: {thinking: {type: enabled, budget_tokens: 1024}}"
HALF = "a half of a pair \ud83d, \u00fc"


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


@dataclass(slots=True)
class Thinker:
    """A model that refuses a conversation in which its own thoughts are not as it had them.

    own: how many of its calls stood in the bodies that it took, each with its thoughts.
    """

    arm: str
    dialect: str
    options: str = ""
    own: int = 0

    def answer(self, asked: Asked) -> Reply:
        found = [*getattr(self, f"_refuses_{self.arm}")(asked.body)]
        if found:
            return whole({"error": {"message": found[0], "type": "invalid_request_error"}}, 400)
        step = json.dumps(asked.body).count('by\\": ') + json.dumps(asked.body).count('"by": ')
        args = {"by": self.arm, "step": step}
        reply: Reply = getattr(self, f"_as_{self.arm}")(asked, args)
        return reply

    # Claude: thinking before a text, before the first call and before the second one.

    def _claude_blocks(self, args: Json) -> list[Json]:
        text = f"Thought {args['step']} {HALF}"
        thinking = {"type": "thinking", "thinking": text, "signature": signature_of(text)}
        hidden = {"type": "redacted_thinking", "data": signature_of(args)}
        calls = [
            {"type": "tool_use", "id": f"toolu_{args['step']}{n}", "name": "look", "input": i}
            for n, i in enumerate((args, args | {"second": True}))
        ]
        return [thinking, {"type": "text", "text": "I look."}, hidden, calls[0], thinking, calls[1]]

    def _as_claude(self, asked: Asked, args: Json) -> Reply:
        args = args | {"thought": "thinking" in asked.body}
        blocks = self._claude_blocks(args)
        if not args["thought"]:
            blocks = [b for b in blocks if "thinking" not in b["type"]]
        usage = {"input_tokens": 9, "output_tokens": 9}
        if not asked.streams:
            return whole({"content": blocks, "stop_reason": "tool_use", "usage": usage})
        told: list[Json] = [{"type": "message_start", "message": {"content": [], "usage": usage}}]
        for index, block in enumerate(blocks):
            told += _claude_pieces(index, block)
        ends = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": usage}
        return events(*told, ends, {"type": "message_stop"})

    def _refuses_claude(self, body: Json) -> Any:
        yield from refusing.anthropic(body)
        for turn in body["messages"]:
            blocks = turn["content"]
            for block in blocks:
                if block["type"] == "tool_use" and block["input"]["by"] == "claude":
                    own = self._claude_blocks(
                        {n: block["input"][n] for n in ("by", "step", "thought")}
                    )
                    own = [b for b in own if b["type"] != "tool_use"]
                    there = [b for b in blocks if b["type"] != "tool_use"]
                    goes_back = "thinking" in body and block["input"]["thought"]
                    wanted = own if goes_back else own[1:2]
                    if there != wanted or [b["type"] for b in blocks] != _order(wanted):
                        yield f"thoughts of a turn are not as they were: {blocks}"
                    self.own += goes_back

    # Gemini: the first of two calls is signed, as is a text.

    def _as_gemini(self, asked: Asked, args: Json) -> Reply:
        text = f"Look {args['step']}."
        second = args | {"second": True}
        parts: list[Json] = [
            {"text": "hm", "thought": True},
            {"text": text, "thoughtSignature": signature_of(text)},
            {
                "functionCall": {"name": "look", "args": args},
                "thoughtSignature": signature_of(args),
            },
            {"functionCall": {"name": "look", "args": second}},
        ]
        if asked.streams:
            empty = {"text": "", "thoughtSignature": signature_of("")}
            parts[1:2] = [{"text": text[:3]}, {"text": text[3:]}, empty]
            pieces = [_candidate([part]) for part in parts]
            return events(*pieces, _candidate([], "STOP"))
        return whole(_candidate(parts, "STOP"))

    def _refuses_gemini(self, body: Json) -> Any:
        yield from refusing.gemini(body)
        for content in body["contents"]:
            for part in content["parts"]:
                if "functionCall" not in part:
                    continue
                args, told = part["functionCall"]["args"], part.get("thoughtSignature")
                is_own = args["by"] == "gemini"
                wanted = (
                    (None if "second" in args else signature_of(args)) if is_own else NO_SIGNATURE
                )
                if told != wanted:
                    yield f"signature of a call: {part}"
                self.own += is_own
                if is_own and not any(
                    "thoughtSignature" in p for p in content["parts"] if "text" in p
                ):
                    yield "signature of a text"

    # Chat completions: Kimi's reasoning, and OpenRouter's details.

    def _kimi(self, args: Json) -> Json:
        return {"reasoning_content": f"Thought {args['step']} {HALF}"}

    def _openrouter(self, args: Json) -> Json:
        text = f"Thought {args['step']} {HALF}"
        told = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
        hidden = {"type": "reasoning.encrypted", "data": "YQ==", "id": None, "index": 1}
        return {
            "reasoning": text,
            "reasoning_details": [told | {"text": text, "signature": "c2ln"}, hidden],
        }

    def _as_kimi(self, asked: Asked, args: Json) -> Reply:
        return self._completion(asked, args, self._kimi(args))

    def _as_openrouter(self, asked: Asked, args: Json) -> Reply:
        return self._completion(asked, args, self._openrouter(args))

    def _completion(self, asked: Asked, args: Json, thought: Json) -> Reply:
        function = {"name": "look", "arguments": json.dumps(args)}
        call = {"index": 0, "id": f"look:{args['step']}", "type": "function", "function": function}
        usage = {"prompt_tokens": 9, "completion_tokens": 9}
        if not asked.streams:
            choice = {"message": thought | {"tool_calls": [call]}, "finish_reason": "tool_calls"}
            return whole({"choices": [choice], "usage": usage})
        deltas = [*_thought_pieces(thought), {"tool_calls": [call]}]
        pieces = [{"choices": [{"delta": delta}]} for delta in deltas]
        end = {"choices": [{"delta": {}, "finish_reason": "tool_calls"}], "usage": usage}
        return events(*pieces, end, done=True)

    def _refuses_kimi(self, body: Json) -> Any:
        if any(self._is_own(m) for m in body["messages"]):
            yield from refusing.thinker(body)
        yield from self._completion_refusals(body, self._kimi, {"reasoning_content": ""})

    def _refuses_openrouter(self, body: Json) -> Any:
        yield from self._completion_refusals(body, self._openrouter, {})

    def _is_own(self, message: Json) -> bool:
        return f'"by": "{self.arm}"' in json.dumps(message).replace("\\", "")

    def _completion_refusals(self, body: Json, own: Any, others: Json) -> Any:
        has_own = any(self._is_own(m) for m in body["messages"] if m.get("tool_calls"))
        for message in body["messages"]:
            if not message.get("tool_calls"):
                continue
            args = json.loads(message["tool_calls"][0]["function"]["arguments"])
            is_own, told = args["by"] == self.arm, {k: v for k, v in message.items() if "reas" in k}
            wanted = own(args) if is_own else others if has_own else {}
            if told != wanted:
                yield f"reasoning of a call: {message}"
            self.own += is_own


def _order(told: Sequence[Json]) -> list[str]:
    """Returns the kinds of blocks in the order that they came in."""
    if len(told) == 1:
        return ["text", "tool_use", "tool_use"]
    return ["thinking", "text", "redacted_thinking", "tool_use", "thinking", "tool_use"]


def _claude_pieces(index: int, block: Json) -> list[Json]:
    deltas: list[Json] = []
    begun = dict(block)
    if block["type"] == "thinking":
        begun |= {"thinking": "", "signature": ""}
        texts = [block["thinking"][:4], block["thinking"][4:]]
        deltas = [{"type": "thinking_delta", "thinking": text} for text in texts]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    elif block["type"] == "text":
        begun["text"] = ""
        deltas = [{"type": "text_delta", "text": block["text"]}]
    elif block["type"] == "tool_use":
        begun["input"] = {}
        deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
    pieces = [{"type": "content_block_delta", "index": index, "delta": d} for d in deltas]
    return [{"type": "content_block_start", "index": index, "content_block": begun}, *pieces]


def _thought_pieces(thought: Json) -> list[Json]:
    """Returns deltas with two pieces of every text."""
    pieces: list[Json] = [{}, {}]
    for name, value in thought.items():
        if isinstance(value, str):
            pieces[0][name], pieces[1][name] = value[:4], value[4:]
        else:
            first, *rest = value
            begun = {k: v for k, v in first.items() if k != "signature"}
            pieces[0][name] = [begun | {"text": first["text"][:4]}]
            pieces[1][name] = [first | {"text": first["text"][4:]}, *rest]
    return pieces


def _candidate(parts: list[Json], end: str = "") -> Json:
    ends = {"finishReason": end} if end else {}
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 9}
    return {"candidates": [{"content": {"parts": parts}} | ends], "usageMetadata": usage}


async def turn(
    router: Router, arm: str, chat: chat_pb2.ChatRequest, *, live: bool, **options: Any
) -> chat_pb2.Message:
    """Returns the answer as callers hand it back."""
    routing = router_pb2.RoutingOptions(arm=arm, **options)
    said = chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT)
    if not live:
        request = router_pb2.CompleteRequest(chat=chat, routing=routing)
        answer = (await router.stub.Complete(request, metadata=router.metadata)).answer
        said.text = answer.text
        said.tool_calls.extend(answer.tool_calls)
        said.opaque.extend(answer.opaque)
        return said
    asked = router_pb2.StreamCompleteRequest(chat=chat, routing=routing)
    async for item in router.stub.StreamComplete(asked, metadata=router.metadata):
        said.text += item.text_delta
        if item.HasField("tool_call_delta"):
            piece = item.tool_call_delta
            if piece.id:
                said.tool_calls.add(id=piece.id, name=piece.name)
            said.tool_calls[piece.index].arguments += piece.arguments
        said.opaque.extend(item.done.opaque)
    return said


def thinkers() -> list[Thinker]:
    return [
        Thinker("claude", "anthropic", THINKING),
        Thinker("gemini", "gemini"),
        Thinker("kimi", "openai"),
        Thinker("openrouter", "openai"),
    ]


async def loop(router: Router, arms: Sequence[str], *, live: bool) -> chat_pb2.ChatRequest:
    """Walk a loop in which the arms take turns."""
    question = chat_pb2.Message(role=chat_pb2.ROLE_USER, text="Look ten times.")
    chat = chat_pb2.ChatRequest(messages=[question], tools=[TOOL])
    for step in range(STEPS):
        said = await turn(router, arms[step % len(arms)], chat, live=live)
        assert said.tool_calls
        chat.messages.append(said)
        for call in said.tool_calls:
            chat.messages.add(role=chat_pb2.ROLE_TOOL, text="Seen.", tool_call_id=call.id)
    return chat


@on_uvloop
async def test_a_loop_of_ten_steps_by_each_model_and_each_pair(tmp_path: Path) -> None:
    models = thinkers()
    wires = {m.arm: [Wire(m.answer, m.dialect, options=m.options, model=m.arm)] for m in models}
    async with routed(tmp_path, wires) as router:
        for first, second in product(models, models):
            for live in (False, True):
                first.own = 0
                chat = await loop(router, (first.arm, second.arm), live=live)
                opaque = [m.opaque for m in chat.messages if m.tool_calls]
                if first is second:
                    # The calls of one step are in each of the bodies after it.
                    calls = len(chat.messages[1].tool_calls)
                    assert first.own == calls * STEPS * (STEPS - 1) // 2, (first.arm, live)
                    assert all(len(parts) == 1 for parts in opaque)
                elif first.arm != "claude":  # whose turns after another's go without thinking
                    assert first.own, (first.arm, second.arm, live)


@on_uvloop
async def test_a_model_goes_on_thinking_after_the_turns_of_another(tmp_path: Path) -> None:
    """In the middle of a loop that another model went on with, it answers without."""
    models = {m.arm: m for m in thinkers()}
    wires = {
        m.arm: [Wire(m.answer, m.dialect, options=m.options, model=m.arm)] for m in models.values()
    }
    question = chat_pb2.Message(role=chat_pb2.ROLE_USER, text="And now?")
    async with routed(tmp_path, wires) as router:
        chat = await loop(router, ("claude", "kimi"), live=False)
        assert "thinking" not in wires["claude"][0].asked[-1].body
        chat.messages.add(role=chat_pb2.ROLE_ASSISTANT, text="Nothing more to see.")
        chat.messages.append(question)
        await turn(router, "claude", chat, live=False)
        assert "thinking" in wires["claude"][0].asked[-1].body


@on_uvloop
async def test_parts_of_a_repeated_or_a_cached_answer_go_back_too(tmp_path: Path) -> None:
    for model in thinkers():
        wire = Wire(model.answer, model.dialect, options=model.options, model=model.arm)
        folder = tmp_path / model.arm
        folder.mkdir()
        async with routed(folder, {model.arm: [wire]}, sections="cache: {enabled: true}") as router:
            for live in (False, True):
                await _repeats(router, wire, live=live)
        assert model.own == 2 * (2 if model.arm in ("claude", "gemini") else 1)


async def _repeats(router: Router, wire: Wire, *, live: bool) -> None:
    question = chat_pb2.Message(role=chat_pb2.ROLE_USER, text="Look ten times.")
    chat = chat_pb2.ChatRequest(messages=[question], tools=[TOOL], seed=int(live))
    asked = len(wire.asked)
    options = {"idempotency_key": f"key {live}", "no_cache": True}
    first = await turn(router, wire.model, chat, live=live, **options)
    assert await turn(router, wire.model, chat, live=live, **options) == first
    assert len(wire.asked) == asked + 1
    cached = await _cached(router, wire, chat, live=live)
    assert cached == first
    chat.messages.append(cached)
    for call in cached.tool_calls:
        chat.messages.add(role=chat_pb2.ROLE_TOOL, text="Seen.", tool_call_id=call.id)
    await turn(router, "", chat, live=live)


async def _cached(
    router: Router, wire: Wire, chat: chat_pb2.ChatRequest, *, live: bool
) -> chat_pb2.Message:
    """Returns the first answer that comes without a call: it is stored a moment later."""
    async with asyncio.timeout(60):
        while True:
            asked = len(wire.asked)
            said = await turn(router, "", chat, live=live)
            if len(wire.asked) == asked:
                return said


@on_uvloop
async def test_a_loop_goes_on_where_its_deployment_fails(tmp_path: Path) -> None:
    """The second deployment of the arm is another model, and gets none of the first one's parts."""
    firsts, seconds = thinkers(), thinkers()
    for first, second in zip(firsts, [*seconds[1:], seconds[0]], strict=True):
        failing: list[Asked] = []

        def answer(asked: Asked, model: Thinker = first, seen: list[Asked] = failing) -> Reply:
            seen.append(asked)
            return whole({"error": "down"}, 503) if len(seen) > 1 else model.answer(asked)

        pair = [
            Wire(answer, first.dialect, options=first.options, model=first.arm),
            Wire(second.answer, second.dialect, options=second.options, model=second.arm),
        ]
        folder = tmp_path / f"{first.arm}-{second.arm}"
        folder.mkdir()
        async with routed(folder, {"arm": pair}) as router:
            chat = await loop(router, ("arm",), live=False)
        assert len(chat.messages[1].opaque) == 1
        assert len(pair[1].asked) == STEPS - 1


@on_uvloop
async def test_a_deployment_that_always_streams_has_its_parts(tmp_path: Path) -> None:
    models = thinkers()
    wires = {
        m.arm: [Wire(m.answer, m.dialect, options=f"{m.options}, always_stream: yes", model=m.arm)]
        for m in models
    }
    async with routed(tmp_path, wires) as router:
        for model in models:
            await loop(router, (model.arm,), live=False)
            assert model.own
            assert all(asked.streams for asked in wires[model.arm][0].asked)
