"""Every provider gives what it should, against real local HTTP servers."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import pytest

from router.domain.catalog import PROVIDERS
from router.domain.chat import (
    Answer,
    ChatRequest,
    FinishReason,
    Format,
    ImagePart,
    Message,
    ResponseFormat,
    Role,
    Sampling,
    TextDelta,
    TextPart,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    ToolMode,
    Usage,
)
from tests.contract.dialects import CALL, DIALECTS
from tests.contract.parties import ASK, KEY, Party

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
FULL = ChatRequest(
    messages=(
        Message(Role.SYSTEM, (TextPart("Be brief."),)),
        Message(Role.USER, (TextPart("Look:"), ImagePart("https://example.com/cat.png"))),
        Message(Role.ASSISTANT, tool_calls=(ToolCall("call_9", "add", '{"a": 5}'),)),
        Message(Role.TOOL, (TextPart("the sum is 6"),), tool_call_id="call_9"),
    ),
    tools=(Tool("add", "Adds.", json.dumps(SCHEMA)),),
    tool_choice=ToolChoice(ToolMode.REQUIRED, "add"),
    response_format=ResponseFormat(Format.JSON_SCHEMA, json.dumps(SCHEMA)),
    sampling=Sampling(temperature=0.5, top_p=0.9, max_output_tokens=77, stop=("END",), seed=3),
)


def test_every_provider_has_its_dialect_in_this_suite() -> None:
    assert {dialect.name for dialect in DIALECTS} == set(PROVIDERS)


async def test_a_whole_answer(party: Party) -> None:
    answer = await party.complete()
    assert answer.text == "Forty-two."
    assert answer.finish_reason is FinishReason.STOP
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (11, 7)
    assert answer.model == party.upstream.dialect.model
    assert answer.refusal is False


async def test_a_streamed_answer_is_its_deltas(party: Party) -> None:
    *deltas, answer = await party.stream()
    assert deltas == [TextDelta("Forty"), TextDelta("-two.")]
    assert answer == await party.complete()


@pytest.mark.parametrize(
    ("said", "reason"),
    [("length", FinishReason.LENGTH), ("filter", FinishReason.CONTENT_FILTER)],
)
async def test_why_it_stopped(party: Party, said: str, reason: FinishReason) -> None:
    if said not in party.upstream.dialect.finishes:
        pytest.skip("the protocol has no word for it")
    party.upstream.finish = said
    for answer in (await party.complete(), (await party.stream())[-1]):
        assert isinstance(answer, Answer)
        assert answer.finish_reason is reason


async def test_a_tool_call_comes_back(party: Party) -> None:
    party.upstream.call, party.upstream.finish = CALL, "call"
    answer = await party.complete(FULL)
    assert answer.finish_reason is FinishReason.TOOL_CALLS
    (call,) = answer.tool_calls
    assert (call.id, call.name, json.loads(call.arguments)) == ("call_0", "add", {"a": 1})


async def test_a_streamed_tool_call_is_its_pieces(party: Party) -> None:
    party.upstream.call, party.upstream.finish = CALL, "call"
    *deltas, answer = await party.stream(FULL)
    pieces = [delta for delta in deltas if isinstance(delta, ToolCallDelta)]
    assert {piece.index for piece in pieces} == {0}
    assert (pieces[0].id, pieces[0].name) == ("call_0", "add")
    (call,) = answer.tool_calls
    assert call == ToolCall("call_0", "add", "".join(piece.arguments for piece in pieces))
    assert json.loads(call.arguments) == {"a": 1}
    assert answer.finish_reason is FinishReason.TOOL_CALLS


async def test_an_answer_with_its_tool_call_can_be_sent_back(party: Party) -> None:
    party.upstream.call, party.upstream.finish = CALL, "call"
    (call,) = (await party.complete(FULL)).tool_calls
    result = Message(Role.TOOL, (TextPart("the sum is 2"),), tool_call_id=call.id)
    turns = (*FULL.messages, Message(Role.ASSISTANT, tool_calls=(call,)), result)
    await party.complete(ChatRequest(turns, FULL.tools))
    assert "the sum is 2" in json.dumps(party.upstream.asked)


async def test_everything_is_sent(party: Party) -> None:
    await party.complete(FULL)
    sent = json.dumps(party.upstream.asked)
    end = ("END",) if party.upstream.dialect.has_stops else ()
    for piece in ("Be brief.", "cat.png", "Adds.", "the sum is 6", *end, '"a": 5', "77"):
        assert piece in sent.replace('\\"', '"')
    assert ("0.9" in sent) is party.upstream.dialect.takes_top_p
    if party.upstream.dialect.has_seed:
        assert '"seed": 3' in sent


async def test_what_is_not_set_is_not_sent(party: Party) -> None:
    await party.complete()
    sent = json.dumps(party.upstream.asked)
    for name in ("temperature", "seed", "stop", "tool", "response"):
        assert name not in sent


async def test_the_key_travels_in_its_header_alone(party: Party) -> None:
    for call in (party.complete, party.stream):
        await call()
        held = {name for name, value in party.upstream.asked_headers.items() if KEY in value}
        assert held == {party.upstream.dialect.key_header}
        assert KEY not in json.dumps(party.upstream.asked) + party.upstream.asked_path


async def test_answers_that_count_nothing_are_estimated(party: Party) -> None:
    party.upstream.body = party.upstream.dialect.uncounted("Forty-two is the answer to it.")
    answer = await party.complete()
    assert answer.usage == Usage(ASK.estimated_input_tokens, 1 + len(answer.text) // 4)


async def test_calls_one_after_another_share_a_connection(party: Party) -> None:
    await party.stream()
    await party.complete()
    await party.stream()
    assert len(set(party.upstream.peers)) == 1


async def test_an_end_mark_ends_it_though_the_body_goes_on(party: Party) -> None:
    if not party.upstream.dialect.marks_its_end:
        pytest.skip("the protocol has no mark of the end but the end of the body")
    party.upstream.linger_s = 30
    answer = (await party.stream(timeout_ms=10_000))[-1]
    assert isinstance(answer, Answer)


async def test_leaving_a_stream_ends_the_call(party: Party) -> None:
    party.upstream.wait_s = 0.05
    party.upstream.texts = ("word ",) * 1_000
    async with aclosing(party.provider.stream(party.deployment, ASK, 60_000)) as items:
        async for _ in items:
            break
    async with asyncio.timeout(20):
        await party.upstream.left.wait()


async def test_giving_up_a_call_ends_it(party: Party) -> None:
    party.upstream.wait_s = 30
    task = asyncio.create_task(party.complete(timeout_ms=60_000))
    while not party.upstream.peers:
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(20):
        await party.upstream.left.wait()


async def test_calls_given_up_cost_the_others_nothing(party: Party) -> None:
    """More than any pool of shared connections would bear, were they not given back."""
    party.upstream.wait_s = 30
    for _ in range(150):
        task = asyncio.create_task(party.complete(timeout_ms=60_000))
        await asyncio.sleep(0.002)
        task.cancel()
        await asyncio.wait([task])
    party.upstream.wait_s = 0
    assert (await party.complete()).text == "Forty-two."


async def test_many_at_once(party: Party) -> None:
    party.upstream.wait_s = 0.2
    answers = await asyncio.gather(*(party.complete() for _ in range(150)))
    assert {a.text for a in answers} == {"Forty-two."}
    assert len(set(party.upstream.peers)) == 150
