"""What a model wrote beside its answer comes back to it alone, unchanged, with nothing else."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from router.adapters.providers.anthropic import Anthropic
from router.adapters.providers.dialect import ESCAPED, MAX_KEPT, MAX_KEPT_BYTES, Dialect
from router.adapters.providers.gemini import NO_SIGNATURE, Gemini
from router.adapters.providers.openai import OpenAI
from router.adapters.providers.sending.hosts import resolved
from router.adapters.providers.sending.schemas import object_of
from router.domain.catalog import BodyRules, Deployment, Price
from router.domain.chat import (
    Answer,
    ChatRequest,
    Format,
    ImagePart,
    Message,
    OpaquePart,
    ResponseFormat,
    Role,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
)
from tests.contract import refusing
from tests.router.adapters.providers.test_conversations import conversation

Json = dict[str, Any]
ON = '{"thinking": {"type": "enabled", "budget_tokens": 1024}}'
ADAPTIVE = '{"thinking": {"type": "adaptive"}}'
TOOLS = (Tool("add"), Tool("mul"))
USER = Message(Role.USER, (TextPart("How much?"),))
CHAT = ChatRequest((USER,), TOOLS)
ODD = 'a \ud83d b \udc00 ü \u0000 "quoted" \u2028'


def here(provider: str, parameters: str = "", model: str = "m") -> Deployment:
    return Deployment(
        "d", provider, "http://x", model, Price(1, 1), rules=BodyRules(parameters=parameters)
    )


CLAUDE, GEMINI, OPEN = here("anthropic", ON), here("gemini"), here("openai")


def whole(dialect: Dialect, place: Deployment, body: Json, chat: ChatRequest = CHAT) -> Answer:
    assembler = dialect.assembler(place, chat)
    list(assembler.whole(json.dumps(body).encode()))
    return assembler.finish()


def streamed(dialect: Dialect, place: Deployment, *told: Json, chat: ChatRequest = CHAT) -> Answer:
    assembler = dialect.assembler(place, chat)
    for each in told:
        list(assembler.feed(json.dumps(each).encode()))
    return assembler.finish()


def handed_back(answer: Answer, chat: ChatRequest = CHAT) -> ChatRequest:
    texts = (TextPart(answer.text),) if answer.text else ()
    said = Message(Role.ASSISTANT, (*answer.opaque, *texts), answer.tool_calls)
    results = [Message(Role.TOOL, (TextPart("5"),), tool_call_id=c.id) for c in answer.tool_calls]
    return replace(chat, messages=(*chat.messages, said, *(results or [USER])))


def claude(*blocks: Json) -> Json:
    return {"content": [*blocks], "stop_reason": "tool_use", "usage": {"output_tokens": 3}}


def use(name: str = "add", call_id: str = "t1") -> Json:
    return {"type": "tool_use", "id": call_id, "name": name, "input": {"a": 1}}


def thought(text: str = "hm", signature: str = "c2ln") -> Json:
    return {"type": "thinking", "thinking": text, "signature": signature}


REDACTED = {"type": "redacted_thinking", "data": "xyz"}


def text(said: str) -> Json:
    return {"type": "text", "text": said}


def sent(dialect: Dialect, place: Deployment, chat: ChatRequest) -> Json:
    """Returns the body as it is read on the other side."""
    body: Json = json.loads(msgspec.json.encode(dialect.body(place, chat, stream=False)))
    return body


PLACES = [
    [thought(), use()],
    [thought(), REDACTED, text("I add."), use(), use("mul", "t2")],
    [
        thought(ODD),
        text("One. "),
        thought("b"),
        text("Two."),
        use(),
        thought("c"),
        use("mul", "t2"),
    ],
    [REDACTED, thought("", "omitted"), use()],
    [thought(), text("Das ist ü 👍."), use()],
]


@pytest.mark.parametrize("blocks", PLACES)
@pytest.mark.parametrize("stops", [(), ("e. never",)])
def test_thinking_goes_back_to_its_place(blocks: list[Json], stops: tuple[str, ...]) -> None:
    """A text that may begin a stop sequence was told before what was thought after it."""
    chat = replace(CHAT, sampling=Sampling(stop=stops))
    answer = whole(Anthropic(), CLAUDE, claude(*blocks), chat)
    body = sent(Anthropic(), CLAUDE, handed_back(answer, chat))
    assert body["messages"][1]["content"] == blocks
    assert body["thinking"]["type"] == "enabled"


def test_what_was_not_signed_or_follows_everything_is_left_out() -> None:
    for blocks in ([thought(signature=""), text("Ten.")], [text("Ten."), thought()]):
        answer = whole(Anthropic(), CLAUDE, claude(*blocks) | {"stop_reason": "max_tokens"})
        body = sent(Anthropic(), CLAUDE, handed_back(answer))
        assert body["messages"][1]["content"] == [text("Ten.")]


def test_a_text_that_was_cut_has_the_thinking_before_it_alone() -> None:
    chat = replace(CHAT, sampling=Sampling(stop=("END",)))
    blocks = [thought("a"), text("One. END Two."), thought("b"), text("Three."), use()]
    answer = whole(Anthropic(), CLAUDE, claude(*blocks), chat)
    assert (answer.text, answer.tool_calls) == ("One. ", ())
    body = sent(Anthropic(), CLAUDE, handed_back(answer, chat))
    assert body["messages"][1]["content"] == [thought("a"), text("One. ")]


def test_thinking_is_left_out_where_it_is_off() -> None:
    answer = whole(Anthropic(), CLAUDE, claude(thought(), use()))
    back = handed_back(answer)
    off = here("anthropic", '{"thinking": {"type": "disabled"}}')
    for place in (off, here("anthropic")):
        assert sent(Anthropic(), place, back)["messages"][1]["content"] == [use()]


def test_what_is_thought_without_being_asked_goes_back_without_it() -> None:
    place = here("anthropic")
    answer = whole(Anthropic(), place, claude(thought(), use()))
    assert sent(Anthropic(), place, handed_back(answer))["messages"][1]["content"] == [
        thought(),
        use(),
    ]


@pytest.mark.parametrize(("parameters", "goes_on"), [(ON, False), (ADAPTIVE, True)])
def test_a_loop_that_another_model_began_goes_on(parameters: str, *, goes_on: bool) -> None:
    answer = whole(OpenAI(), OPEN, reasoned(reasoning_content="hm"))
    body = sent(Anthropic(), here("anthropic", parameters), handed_back(answer))
    assert ("thinking" in body) is goes_on
    assert [b["type"] for b in body["messages"][1]["content"]] == ["tool_use"]


# Gemini.


def candidate(*parts: Json, end: str = "STOP") -> Json:
    return {"candidates": [{"content": {"parts": [*parts]}, "finishReason": end}]}


def asks(name: str = "add", signature: str = "", **more: Any) -> Json:
    called = {"functionCall": {"name": name, "args": {"a": 1}} | more}
    return called | ({"thoughtSignature": signature} if signature else {})


SIGNED = [
    [asks(signature="s1"), asks("mul")],
    [{"text": "So ü. ", "thoughtSignature": "s0"}, asks(signature="s1")],
    [{"text": "Ten."}, {"text": "", "thoughtSignature": "s9"}],
    [{"text": "One. "}, {"text": "Two.", "thoughtSignature": "s1"}, {"text": " Three."}],
]


@pytest.mark.parametrize("parts", SIGNED)
@pytest.mark.parametrize("live", [False, True])
def test_signatures_go_back_to_their_parts(parts: list[Json], *, live: bool) -> None:
    pieces = [candidate(part, end="") for part in parts]
    if live:
        answer = streamed(Gemini(), GEMINI, *pieces, candidate())
    else:
        answer = whole(Gemini(), GEMINI, candidate(*parts))
    body = sent(Gemini(), GEMINI, handed_back(answer))
    assert body["contents"][1]["parts"] == parts


def test_what_signs_a_thought_is_not_the_signature_of_a_text() -> None:
    hidden = {"text": "hm", "thought": True, "thoughtSignature": "s0"}
    answer = whole(Gemini(), GEMINI, candidate(hidden, asks(signature="s1")))
    body = sent(Gemini(), GEMINI, handed_back(answer))
    assert body["contents"][1]["parts"] == [asks(signature="s1")]


def test_a_call_takes_its_signature_with_it() -> None:
    parts = candidate(asks(signature="s1", id="a"), asks("mul", "s2", id="b"), asks(id="c"))
    answer = whole(Gemini(), GEMINI, parts)
    for kept, signatures in (
        ((0, 2), ["s1", None]),
        ((1,), ["s2"]),
        ((2,), [NO_SIGNATURE]),
        ((1, 0), ["s2", "s1"]),
    ):
        less = replace(answer, tool_calls=tuple(answer.tool_calls[i] for i in kept))
        body = sent(Gemini(), GEMINI, handed_back(less))
        told = [part.get("thoughtSignature") for part in body["contents"][1]["parts"]]
        assert told == signatures
    renamed = tuple(replace(call, id=f"über {call.id}") for call in answer.tool_calls)
    body = sent(Gemini(), GEMINI, handed_back(replace(answer, tool_calls=renamed)))
    told = [part.get("thoughtSignature") for part in body["contents"][1]["parts"]]
    assert told == ["s1", "s2", None]


def test_a_text_that_is_not_the_signed_one_has_no_signature() -> None:
    stop = replace(CHAT, sampling=Sampling(stop=("END",)))
    fenced = replace(CHAT, response_format=ResponseFormat(Format.JSON_OBJECT))
    for chat, said in ((stop, "One. END Two."), (fenced, '```json\n{"a": 1}\n```')):
        body = candidate({"text": said, "thoughtSignature": "s"})
        assert whole(Gemini(), GEMINI, body, chat).opaque == ()
    answer = whole(Gemini(), GEMINI, candidate({"text": "Ten apples.", "thoughtSignature": "s"}))
    changed = sent(Gemini(), GEMINI, handed_back(replace(answer, text="Ten")))
    assert changed["contents"][1]["parts"] == [{"text": "Ten"}]


# Chat completions.


def reasoned(**thoughts: Any) -> Json:
    call = {"id": "c1", "function": {"name": "add", "arguments": '{"a": 1}'}}
    message = {"content": None, "tool_calls": [call]} | thoughts
    return {"choices": [{"message": message, "finish_reason": "tool_calls"}]}


DETAILS = [
    {"type": "reasoning.text", "text": ODD, "signature": "s", "format": "f", "index": 0},
    {"type": "reasoning.encrypted", "data": "YQ==", "id": None, "index": 0},
    {"type": "reasoning.encrypted", "data": "Yg==", "id": "r", "index": 0},
    {"type": "reasoning.summary", "summary": "So."},
]
FIELDS: list[Json] = [
    {"reasoning_content": "hm"},
    {"reasoning_content": ""},
    {"reasoning": ODD, "reasoning_details": DETAILS},
]


@pytest.mark.parametrize("fields", FIELDS)
def test_reasoning_goes_back_with_the_calls(fields: Json) -> None:
    answer = whole(OpenAI(), OPEN, reasoned(**fields))
    message = sent(OpenAI(), OPEN, handed_back(answer))["messages"][1]
    assert {name: message[name] for name in message if name.startswith("reas")} == fields


def test_reasoning_without_calls_is_not_kept() -> None:
    end = {"message": {"content": "Ten.", "reasoning_content": "hm"}, "finish_reason": "stop"}
    assert whole(OpenAI(), OPEN, {"choices": [end]}).opaque == ()


def test_a_host_that_wants_reasoning_gets_it_of_every_call() -> None:
    bare = whole(OpenAI(), OPEN, reasoned())
    asked = replace(OPEN, rules=BodyRules(reasoned_calls=True))
    assert sent(OpenAI(), asked, handed_back(bare))["messages"][1]["reasoning_content"] == ""
    assert "reasoning_content" not in sent(OpenAI(), OPEN, handed_back(bare))["messages"][1]


# All of them.

SPOKEN: dict[str, tuple[Dialect, Deployment, Json]] = {
    "anthropic": (Anthropic(), CLAUDE, claude(thought(), use())),
    "gemini": (Gemini(), GEMINI, candidate(asks(signature="s1"))),
    "openai": (OpenAI(), OPEN, reasoned(reasoning_content="hm")),
}
EMPTY: list[Callable[[OpaquePart], OpaquePart]] = [
    lambda part: replace(part, provider="other"),
    lambda part: replace(part, model="another"),
    lambda part: replace(part, data=b""),
    lambda part: replace(part, data=part.data[:-1]),
    lambda part: replace(part, data=b"\xff\xfe"),
    lambda part: replace(part, data=b"[" * 200_000),
    lambda part: replace(part, data=b'"\\ud83d"' + b"[" * 200_000),
    lambda part: replace(part, data=b"[]"),
    lambda part: replace(part, data=b"7"),
    lambda part: replace(part, data=b'{"a": 1e999, "b": "\\ud83d"}'),
    lambda part: replace(part, data=b" " * MAX_KEPT_BYTES + part.data),
    *(
        lambda part, value=value: replace(
            part,
            data=json.dumps(
                dict.fromkeys(("blocks", "calls", "texts", "reasoning_details"), value)
                | dict.fromkeys(("reasoning_content", "reasoning"), value)
            ).encode(),
        )
        for value in (None, 3, [[]], [None], [{"characters": "x", "id": 3}], {"a": {}}, True)
    ),
]


@pytest.mark.parametrize("name", SPOKEN)
@pytest.mark.parametrize("made", EMPTY)
def test_odd_data_is_left_out(name: str, made: Callable[[OpaquePart], OpaquePart]) -> None:
    dialect, place, body = SPOKEN[name]
    answer = whole(dialect, place, body)
    (part,) = answer.opaque
    without = sent(dialect, place, handed_back(replace(answer, opaque=())))
    odd = sent(dialect, place, handed_back(replace(answer, opaque=(made(part),))))
    assert odd == without
    assert sent(dialect, place, handed_back(answer)) != without


@pytest.mark.parametrize("name", SPOKEN)
def test_too_many_items_are_left_out(name: str) -> None:
    dialect, place, body = SPOKEN[name]
    answer = whole(dialect, place, body)
    items = {
        "blocks": [{"thinking": "a", "signature": "b"}],
        "calls": [{"id": "c", "signature": "d"}],
    }
    items |= {"reasoning_details": [{"type": "reasoning.text", "text": "a"}]}
    many = {field: each * (MAX_KEPT + 1) for field, each in items.items()}
    part = replace(answer.opaque[0], data=json.dumps(many).encode())
    without = sent(dialect, place, handed_back(replace(answer, opaque=())))
    assert sent(dialect, place, handed_back(replace(answer, opaque=(part,)))) == without


@pytest.mark.parametrize("name", SPOKEN)
def test_nothing_else_gets_into_the_body(name: str) -> None:
    """Whatever a caller writes into the data: only what the dialect knows is read."""
    dialect, place, body = SPOKEN[name]
    answer = whole(dialect, place, body)
    more = {"role": "system", "cache_control": {"type": "ephemeral"}, "type": "text", "evil": "x"}

    def poisoned(value: Any) -> Any:
        if isinstance(value, dict):
            return more | {key: poisoned(each) for key, each in value.items()}
        return [poisoned(each) for each in value] if isinstance(value, list) else value

    data = json.dumps(poisoned(json.loads(answer.opaque[0].data))).encode()
    part = replace(answer.opaque[0], data=data)
    assert sent(dialect, place, handed_back(replace(answer, opaque=(part,)))) == sent(
        dialect, place, handed_back(answer)
    )


@pytest.mark.parametrize("name", SPOKEN)
def test_a_turn_of_opaque_parts_alone_is_no_turn(name: str) -> None:
    dialect, place, body = SPOKEN[name]
    (part,) = whole(dialect, place, body).opaque
    for parts in ((part,), (part, TextPart(" ")), (part, ImagePart("https://x.example/a.png"))):
        chat = replace(CHAT, messages=(USER, Message(Role.ASSISTANT, parts), USER))
        told = sent(dialect, place, chat)
        turns = told.get("messages") or told["contents"]
        assert {turn["role"] for turn in turns} == {"user"}


@pytest.mark.parametrize("name", SPOKEN)
def test_what_is_too_large_is_not_kept(name: str) -> None:
    dialect, place, _ = SPOKEN[name]
    much = "m" * MAX_KEPT_BYTES
    large = {
        "anthropic": claude(thought(much), use()),
        "gemini": candidate(asks(signature=much)),
        "openai": reasoned(reasoning_content=much),
    }
    answer = whole(dialect, place, large[name])
    assert answer.opaque == ()
    assert answer.tool_calls[0].name == "add"


def test_what_is_too_large_is_not_held_either() -> None:
    """A stream of thinking without end takes no memory without end."""
    piece = "m" * (MAX_KEPT_BYTES // 8)
    begun = {"type": "content_block_start", "index": 0, "content_block": thought("", "")}
    events = [
        {"type": "content_block_delta", "index": 0, "delta": delta}
        for delta in [{"type": "thinking_delta", "thinking": piece}] * 20
        + [{"type": "signature_delta", "signature": "s"}]
    ]
    ends = [
        {"type": "content_block_start", "index": 1, "content_block": text("Ten.")},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ]
    answer = streamed(Anthropic(), CLAUDE, begun, *events, *ends)
    assert (answer.text, answer.opaque) == ("Ten.", ())
    deltas = [{"choices": [{"delta": {"reasoning_content": piece}}]} for _ in range(20)]
    answer = streamed(OpenAI(), OPEN, *deltas, reasoned())
    assert (len(answer.tool_calls), answer.opaque) == (1, ())


def test_bytes_that_came_in_halves_are_joined() -> None:
    start = {"type": "content_block_start", "index": 0, "content_block": thought("", "")}
    assembler = Anthropic().assembler(CLAUDE, CHAT)
    list(assembler.feed(json.dumps(start).encode()))
    for half in (b"\xc3", b"\xbc"):
        delta = b'{"type":"thinking_delta","thinking":"' + half + b'"}'
        event = b'{"type":"content_block_delta","index":0,"delta":' + delta + b"}"
        list(assembler.feed(event))
    signed = {"type": "signature_delta", "signature": "s"}
    for event in (
        {"type": "content_block_delta", "index": 0, "delta": signed},
        {"type": "content_block_start", "index": 1, "content_block": text("Ten.")},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ):
        list(assembler.feed(json.dumps(event).encode()))
    (part,) = assembler.finish().opaque
    assert json.loads(part.data)["blocks"] == [{"thinking": "ü", "signature": "s"}]


def test_calls_that_are_joined_keep_what_belongs_to_them() -> None:
    answer = whole(Anthropic(), CLAUDE, claude(thought(), use()))
    first = Message(Role.ASSISTANT, (TextPart("Wait."),))
    back = handed_back(answer)
    chat = replace(back, messages=(USER, first, *back.messages[1:]))
    body = sent(Anthropic(), CLAUDE, chat)
    # Such a turn does not begin with thinking, so the request goes without.
    assert body["messages"][1]["content"] == [text("Wait."), use()]
    assert "thinking" not in body
    assert ToolCall("t1", "add", '{"a":1}') in answer.tool_calls


@pytest.mark.parametrize("places", [(-2,), (4, 1), (2, -1, 2), (3, 99)])
def test_odd_places_repeat_no_text(places: tuple[int, ...]) -> None:
    answer = whole(Anthropic(), CLAUDE, claude(thought(), text("One. Two."), use()))
    blocks = [{"thinking": "a", "signature": "s", "characters": place} for place in places]
    part = replace(answer.opaque[0], data=json.dumps({"blocks": blocks}).encode())
    body = sent(
        Anthropic(), here("anthropic", ADAPTIVE), handed_back(replace(answer, opaque=(part,)))
    )
    said = [block.get("text", "") for block in body["messages"][1]["content"]]
    assert "".join(said) == "One. Two."


def test_an_escaped_text_is_a_text() -> None:
    """What a caller writes behind the mark is never sent as JSON of another kind."""
    answer = whole(Anthropic(), CLAUDE, claude(thought(), use()))
    for said in ('"a", "b": "c"', "[1]", '"', '"a"]', "[" * 100_000):
        data = {"blocks": [{"thinking": f"{ESCAPED}{said}", "signature": "s"}]}
        part = replace(answer.opaque[0], data=json.dumps(data).encode())
        body = sent(Anthropic(), CLAUDE, handed_back(replace(answer, opaque=(part,))))
        assert body["messages"][1]["content"][0] == thought(f"{ESCAPED}{said}", "s")


@pytest.mark.parametrize("begin", [b'{"x":', b'{"y":"\\ud83d","x":', b'{"blocks":'])
def test_odd_data_costs_little(begin: bytes) -> None:
    answer = whole(Anthropic(), CLAUDE, claude(thought(), use()))
    data = begin + b"[" + b"[]," * (MAX_KEPT_BYTES // 3 - 20) + b"[]]}"
    back = handed_back(replace(answer, opaque=(replace(answer.opaque[0], data=data),)))
    began_s = time.process_time()
    sent(Anthropic(), CLAUDE, back)
    assert time.process_time() - began_s < 0.1


def _thoughts(draw: random.Random, _: Message) -> bytes:
    blocks = []
    for _ in range(draw.randrange(4)):
        said = draw.choice(["a", "", "ü", "\u0000"])
        place = {"characters": draw.randrange(-2, 12), "calls": draw.randrange(-1, 4)}
        if draw.random() < 0.6:
            place = {"characters": 0, "calls": 0}
        signed = {"thinking": said, "signature": refusing.signature_of(said)}
        blocks.append((signed if draw.random() < 0.7 else {"data": "x"}) | place)
    return json.dumps({"blocks": blocks}).encode()


def _signatures(draw: random.Random, message: Message) -> bytes:
    args = [json.loads(msgspec.json.encode(object_of(c.arguments))) for c in message.tool_calls]
    signatures = map(refusing.signature_of, args)
    calls = [
        {"id": c.id, "signature": draw.choice([signature, ""])}
        for c, signature in zip(message.tool_calls, signatures, strict=True)
    ]
    return json.dumps({"calls": calls}).encode()


@pytest.mark.parametrize(
    ("name", "data"), [("anthropic", _thoughts), ("gemini", _signatures)], ids=["claude", "gemini"]
)
def test_any_conversation_with_thoughts_is_taken(
    name: str, data: Callable[[random.Random, Message], bytes]
) -> None:
    dialect, place, _ = SPOKEN[name]
    thinks = 0
    for seed in range(600):
        draw, chat = random.Random(seed), conversation(seed)
        messages = tuple(
            replace(m, parts=(OpaquePart(name, "m", data(draw, m)), *m.parts))
            if m.role is Role.ASSISTANT and draw.random() < 0.8
            else m
            for m in chat.messages
        )
        room = replace(chat.sampling, max_output_tokens=4_096, temperature=0.5)
        told = sent(dialect, resolved(place), replace(chat, messages=messages, sampling=room))
        assert [*getattr(refusing, name)(told)] == [], (seed, told)
        thinks += "thinking" in json.dumps(told["messages"]) if name == "anthropic" else 1
    assert thinks > 100
