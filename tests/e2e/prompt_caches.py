"""Upstreams that cache prompts as OpenAI, Anthropic and Gemini document it, and write bills."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, ClassVar

from tests.e2e.wire import Asked, Json, Reply, Wire, events, raw, whole

BYTES_PER_TOKEN = 4
LEAST_TOKENS = 1_024
STEP_TOKENS = 128
LOOKBACK_BLOCKS = 20
MOST_BREAKPOINTS = 4
WORD = "word "
PACE_S = 0.01
OK = 200


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per million tokens."""

    read: float = 1.0
    cached: float = 0.1
    written: float = 1.0
    said: float = 10.0
    thought: float = 10.0

    @property
    def config(self) -> str:
        return (
            f"input_usd_per_mtok: {self.read}, output_usd_per_mtok: {self.said},"
            f" cached_input_usd_per_mtok: {self.cached}, cache_write_usd_per_mtok: {self.written},"
            f" reasoning_usd_per_mtok: {self.thought}"
        )


@dataclass(slots=True)
class Charge:
    """One call as it is billed: tokens of each kind, none of which is part of another."""

    read: int = 0
    cached: int = 0
    written: int = 0
    said: int = 0
    thought: int = 0

    @property
    def input(self) -> int:
        return self.read + self.cached + self.written

    def usd(self, rates: Rates) -> float:
        kinds = ("read", "cached", "written", "said", "thought")
        return sum(getattr(self, kind) * getattr(rates, kind) for kind in kinds) / 1e6


@dataclass
class Biller(Wire, ABC):
    """Thinks, says words, and bills what it did; a stream is billed as far as it was written."""

    rates: Rates = field(default_factory=Rates)
    words: int = 20
    thoughts: int = 50
    bill: list[Charge] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    stored: set[str] = field(default_factory=set)
    dialect: ClassVar[str]

    def __post_init__(self) -> None:
        self.provider, self.answers, self.price = self.dialect, self.answer, self.rates.config

    @property
    def usd(self) -> float:
        return sum(charge.usd(self.rates) for charge in self.bill)

    def answer(self, asked: Asked) -> Reply:
        charge = self.charge(asked.body)
        self.bill.append(charge)
        if not asked.streams:
            charge.thought, charge.said = self.thinks(asked.body), self.words
            return whole(self.body(charge))
        charge.thought = self.thinks(asked.body)
        pieces = events(*self.beginning(charge)).pieces
        for number in range(self.words):
            pieces += events(self.word(charge, number)).pieces
        return raw(*pieces, *events(*self.ending(charge), done=self.dialect == "openai").pieces)

    def thinks(self, body: Json) -> int:
        """Returns how many tokens are thought; an effort that is asked for may change it."""
        del body
        return self.thoughts

    async def _write(
        self,
        asked: Asked,
        reply: Reply,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """A caller that has left is noticed before the next word, which is not generated then."""
        if reply.status != OK:
            await super()._write(asked, reply, reader, writer)
            return
        charge, streams = self.bill[-1], asked.streams
        for piece in reply.pieces:
            assert isinstance(piece, bytes)
            if reader.at_eof() or writer.is_closing():
                return
            if streams and WORD.encode() in piece:
                charge.said += 1
            writer.write(piece)
            await writer.drain()
            if streams:
                await asyncio.sleep(PACE_S)

    @abstractmethod
    def charge(self, body: Json) -> Charge:
        """Bill the input, and cache it."""

    @abstractmethod
    def body(self, charge: Charge) -> Json: ...

    @abstractmethod
    def beginning(self, charge: Charge) -> list[Json]: ...

    @abstractmethod
    def word(self, charge: Charge, number: int) -> Json: ...

    @abstractmethod
    def ending(self, charge: Charge) -> list[Json]: ...


def tokens_of(text: str) -> int:
    return len(text.encode()) // BYTES_PER_TOKEN


def _kept(value: Any) -> Any:
    """Returns a block without its mark: a prefix is the same with and without one."""
    if isinstance(value, list):
        return [_kept(each) for each in value]
    if isinstance(value, dict):
        return {name: _kept(each) for name, each in value.items() if name != "cache_control"}
    return value


class OpenAIBiller(Biller):
    """Caches by itself from 1,024 tokens on, in steps of 128; thinking is part of the output."""

    dialect = "openai"

    def charge(self, body: Json) -> Charge:
        text = json.dumps([body.get("tools", []), *body["messages"]])
        total = tokens_of(text)
        steps = range(LEAST_TOKENS, total + 1, STEP_TOKENS)
        prefixes = {step: text[: step * BYTES_PER_TOKEN] for step in steps}
        cached = max((n for n, prefix in prefixes.items() if prefix in self.stored), default=0)
        self.stored.update(prefixes.values())
        return Charge(read=total - cached, cached=cached)

    def thinks(self, body: Json) -> int:
        return {"low": 10, "high": 400}.get(body.get("reasoning_effort", ""), self.thoughts)

    def _usage(self, charge: Charge, said: int) -> Json:
        return {
            "prompt_tokens": charge.input,
            "prompt_tokens_details": {"cached_tokens": charge.cached, "audio_tokens": 0},
            "completion_tokens": charge.thought + said,
            "completion_tokens_details": {"reasoning_tokens": charge.thought},
            "total_tokens": charge.input + charge.thought + said,
        }

    def body(self, charge: Charge) -> Json:
        choice = {"message": {"content": WORD * self.words}, "finish_reason": "stop"}
        return {"choices": [choice], "usage": self._usage(charge, self.words)}

    def beginning(self, charge: Charge) -> list[Json]:
        del charge
        return [{"choices": [{"delta": {"role": "assistant"}}]}]

    def word(self, charge: Charge, number: int) -> Json:
        del charge, number
        return {"choices": [{"delta": {"content": WORD}}]}

    def ending(self, charge: Charge) -> list[Json]:
        end = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
        return [end, {"choices": [], "usage": self._usage(charge, self.words)}]


class GeminiBiller(Biller):
    """Caches by itself what two requests have in common; thinking stands beside the output."""

    dialect = "gemini"

    def charge(self, body: Json) -> Charge:
        every = [body.get("tools", []), body.get("systemInstruction", {}), *body["contents"]]
        prefixes = [*accumulate(map(json.dumps, every))]
        total = tokens_of(prefixes[-1])
        known = [tokens_of(prefix) for prefix in prefixes if prefix in self.stored]
        cached = max((n for n in known if n >= LEAST_TOKENS), default=0)
        self.stored.update(prefixes)
        return Charge(read=total - cached, cached=cached)

    def thinks(self, body: Json) -> int:
        config = body.get("generationConfig", {}).get("thinkingConfig", {})
        budget: int = config.get("thinkingBudget", self.thoughts)
        return budget // 2 if config else budget

    def _usage(self, charge: Charge, said: int) -> Json:
        cached = {"cachedContentTokenCount": charge.cached} if charge.cached else {}
        return cached | {
            "promptTokenCount": charge.input,
            "candidatesTokenCount": said,
            "thoughtsTokenCount": charge.thought,
            "totalTokenCount": charge.input + said + charge.thought,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": charge.input}],
        }

    def _candidate(self, charge: Charge, text: str, said: int, **more: Any) -> Json:
        content = {"role": "model", "parts": [{"text": text}]}
        candidate = {"content": content, "index": 0} | more
        return {"candidates": [candidate], "usageMetadata": self._usage(charge, said)}

    def body(self, charge: Charge) -> Json:
        return self._candidate(charge, WORD * self.words, self.words, finishReason="STOP")

    def beginning(self, charge: Charge) -> list[Json]:
        del charge
        return []

    def word(self, charge: Charge, number: int) -> Json:
        return self._candidate(charge, WORD, number + 1)

    def ending(self, charge: Charge) -> list[Json]:
        return [self._candidate(charge, "", self.words, finishReason="STOP")]


class AnthropicBiller(Biller):
    """Caches up to its marks, of which the last that it knows is read, and writes the rest."""

    dialect = "anthropic"

    def answer(self, asked: Asked) -> Reply:
        if fault := next(_faults(asked.body), ""):
            self.refused.append(fault)
            error = {"type": "invalid_request_error", "message": fault}
            return whole({"type": "error", "error": error}, 400)
        return super().answer(asked)

    def charge(self, body: Json) -> Charge:
        blocks = [*_blocks(body)]
        prefixes = [*accumulate(json.dumps(_kept(block)) for block in blocks)]
        total = tokens_of(prefixes[-1])
        marks = [i for i, block in enumerate(blocks) if "cache_control" in block]
        near = {j for i in marks for j in range(max(0, i - LOOKBACK_BLOCKS), i + 1)}
        sizes = {i: tokens_of(prefixes[i]) for i in near}
        cached = max((sizes[i] for i in near if prefixes[i] in self.stored), default=0)
        long = [i for i in marks if sizes[i] >= LEAST_TOKENS]
        written = max([cached, *(sizes[i] for i in long)]) - cached
        self.stored.update(prefixes[i] for i in long)
        return Charge(total - cached - written, cached, written)

    def thinks(self, body: Json) -> int:
        thinking = body.get("thinking", {})
        return thinking["budget_tokens"] // 2 if thinking.get("type") == "enabled" else 0

    def _usage(self, charge: Charge, written: int) -> Json:
        return {
            "input_tokens": charge.read,
            "cache_read_input_tokens": charge.cached,
            "cache_creation_input_tokens": charge.written,
            "cache_creation": {
                "ephemeral_5m_input_tokens": charge.written,
                "ephemeral_1h_input_tokens": 0,
            },
            "output_tokens": written,
        }

    def _thinking(self, charge: Charge) -> Json | None:
        if not charge.thought:
            return None
        text = "hm, " * charge.thought
        return {"type": "thinking", "thinking": text, "signature": "c2lnbmVk"}

    def body(self, charge: Charge) -> Json:
        said = {"type": "text", "text": WORD * self.words}
        return {
            "type": "message",
            "content": [b for b in (self._thinking(charge), said) if b],
            "stop_reason": "end_turn",
            "usage": self._usage(charge, charge.thought + self.words),
        }

    def beginning(self, charge: Charge) -> list[Json]:
        message = {"content": [], "usage": self._usage(charge, 1)}
        told: list[Json] = [{"type": "message_start", "message": message}]
        if thinking := self._thinking(charge):
            empty = {"type": "thinking", "thinking": "", "signature": ""}
            told.append({"type": "content_block_start", "index": 0, "content_block": empty})
            for name in ("thinking", "signature"):
                delta = {"type": f"{name}_delta", name: thinking[name]}
                told.append({"type": "content_block_delta", "index": 0, "delta": delta})
            told.append({"type": "content_block_stop", "index": 0})
        text = {"type": "text", "text": ""}
        return [*told, {"type": "content_block_start", "index": 1, "content_block": text}]

    def word(self, charge: Charge, number: int) -> Json:
        del charge, number
        delta = {"type": "text_delta", "text": WORD}
        return {"type": "content_block_delta", "index": 1, "delta": delta}

    def ending(self, charge: Charge) -> list[Json]:
        usage = {"output_tokens": charge.thought + self.words}
        return [
            {"type": "content_block_stop", "index": 1},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
            {"type": "message_stop"},
        ]


def _blocks(body: Json) -> Iterator[Json]:
    """Yields the blocks of a request in the order in which they are cached."""
    yield from body.get("tools", [])
    system = body.get("system", [])
    yield from [{"type": "text", "text": system}] if isinstance(system, str) else system
    for message in body["messages"]:
        yield from message["content"]


def _faults(body: Json) -> Iterator[str]:
    """Yields what the real one refuses in the marks and the thinking of a request."""
    marked = [block for block in _blocks(body) if "cache_control" in block]
    if len(marked) > MOST_BREAKPOINTS:
        yield f"A maximum of 4 blocks with cache_control may be provided. Found {len(marked)}."
    for block in marked:
        if block.get("type") in ("thinking", "redacted_thinking"):
            yield "thinking blocks cannot have cache_control"
        if block.get("type") == "text" and not block["text"].strip():
            yield "cache_control cannot be set for empty text blocks"
    thinking = body.get("thinking", {})
    if thinking.get("type") == "enabled":
        if body["max_tokens"] <= thinking["budget_tokens"]:
            yield "`max_tokens` must be greater than `thinking.budget_tokens`."
        if body.get("temperature", 1) != 1 or "top_p" in body:
            yield "`temperature` may only be set to 1 when thinking is enabled."
