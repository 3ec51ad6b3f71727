"""Each call of the client against a whole router."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import grpc
import pytest
import pytest_asyncio
from adaptive_router_client import (
    NEVER,
    AsyncClient,
    Client,
    Message,
    Routing,
    TextDelta,
    Tool,
    errors,
    tool_result,
    user,
)
from adaptive_router_client.values import Chat

from demo.upstream import INSTANT
from demo.world import Reply
from tests.e2e.conftest import ARMS, GOOD, KEY, Router

FRESH = Routing(no_cache=True)


@pytest.fixture
def learns() -> bool:
    return False


@pytest_asyncio.fixture
async def client(router: Router) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(f"127.0.0.1:{router.port}", key=KEY) as made:
        yield made


async def test_an_answer_has_its_receipt_and_takes_feedback(client: AsyncClient) -> None:
    done = await client.complete("What is 17 * 23?", FRESH)
    assert (done.text, done.answer.finish_reason) == ("Forty-two.", "stop")
    assert (done.answer.input_tokens, done.answer.output_tokens) == (100, 50)
    assert done.receipt.attempts[-1].outcome == "accepted"
    assert done.receipt.cache == "bypass"
    recorded = await client.feedback(done, quality=0.75)
    assert (recorded.already_recorded, recorded.decisions) == (False, 1)
    assert (await client.feedback(done, quality=0.75)).already_recorded
    with pytest.raises(errors.FeedbackConflict):
        await client.feedback(done, quality=0.25)
    await client.feedback(done.decision_id, quality=0.25, correction=True)
    decision = await client.decision(done)
    assert decision.feedback_quality == 0.25
    assert sum(plan.probability for plan in decision.plans) == pytest.approx(1)


async def test_a_session_shares_what_is_said_of_it(client: AsyncClient) -> None:
    routing = replace(FRESH, session_id="s1")
    for text in ("Plan a week of meals.", "What is the tallest mountain?"):
        await client.complete(text, routing)
    assert (await client.feedback_on_session("s1", accepted=True)).decisions == 2


async def test_a_stream_comes_to_the_same_as_a_whole_answer(client: AsyncClient) -> None:
    async with client.stream("Tell me about rivers.", FRESH) as stream:
        deltas = [delta async for delta in stream]
        assert "".join(d.text for d in deltas if isinstance(d, TextDelta)) == "Forty-two."
        done = stream.completion
    assert (done.text, done.answer.output_tokens) == ("Forty-two.", 50)
    assert (await client.decision(done)).receipt.plan == done.receipt.plan


async def test_leaving_a_stream_ends_the_providers_call(
    router: Router, client: AsyncClient
) -> None:
    slow = router.upstreams["reasoning"]
    slow.profile, slow.ledger = replace(INSTANT, token_ms=10), []
    slow.find = lambda _: Reply("a piece of it, " * 400, 1.0, 100, 400)
    async with client.stream("Tell me all.", replace(FRESH, arm="reasoning")) as stream:
        assert isinstance(await anext(aiter(stream)), TextDelta)
    (entry,) = slow.ledger
    heard = -1.0
    async with asyncio.timeout(60):
        while heard != entry.output_tokens:
            heard = entry.output_tokens
            await asyncio.sleep(0.3)
    assert heard < 400
    with pytest.raises(errors.StreamBroken):
        _ = stream.completion


async def test_tools_go_round(router: Router, client: AsyncClient) -> None:
    for arm in ARMS:
        router.upstreams[arm].find = lambda _: replace(GOOD, text="", looks_up=True)
    talk: list[Message] = [user("Look it up.")]
    tools = (Tool("look_up", "Looks a note up.", '{"type": "object"}'),)
    asks = await client.complete(Chat(tuple(talk), tools=tools), FRESH)
    (call,) = asks.tool_calls
    assert (call.name, asks.answer.finish_reason) == ("look_up", "tool_calls")
    for arm in ARMS:
        router.upstreams[arm].find = lambda _: GOOD
    talk += [asks.message, tool_result(call, "a note")]
    assert (await client.complete(Chat(tuple(talk), tools=tools), FRESH)).text == "Forty-two."


async def test_a_key_gives_one_answer_after_its_first_caller_left(
    router: Router, client: AsyncClient
) -> None:
    slow = router.upstreams["reasoning"]
    slow.profile, slow.ledger = replace(INSTANT, first_token_ms=1_000), []
    routing = replace(FRESH, arm="reasoning")
    task = asyncio.create_task(
        client.complete("What is 17 * 23?", replace(routing, idempotency_key="k1"))
    )
    async with asyncio.timeout(60):
        while not slow.ledger:
            await asyncio.sleep(0.02)
    task.cancel()
    done = await client.complete("What is 17 * 23?", replace(routing, idempotency_key="k1"))
    assert done.text == "Forty-two."
    again = await client.complete("What is 17 * 23?", replace(routing, idempotency_key="k1"))
    assert (again.decision_id, again.receipt.cost_usd) == (done.decision_id, done.receipt.cost_usd)
    with pytest.raises(errors.IdempotencyConflict):
        await client.complete("What is 18 * 23?", replace(routing, idempotency_key="k1"))


async def test_each_call_has_a_key_of_its_own(client: AsyncClient) -> None:
    first, second = [await client.complete("What is 17 * 23?", FRESH) for _ in range(2)]
    assert first.decision_id != second.decision_id


async def test_mistakes_are_named_field_by_field(client: AsyncClient) -> None:
    with pytest.raises(errors.InvalidRequest) as raised:
        await client.complete(Chat((user("hi"),), temperature=-1.0, stop=("",)), FRESH)
    named = {violation.field for violation in raised.value.violations}
    assert any("temperature" in field for field in named)
    assert len(named) == 2
    with pytest.raises(errors.NoEligiblePlan):
        await client.complete("hi", replace(FRESH, max_cost_usd=1e-9))
    with pytest.raises(errors.DecisionNotFound):
        await client.decision("0" * 32)


async def test_a_wrong_key_is_told_so(router: Router) -> None:
    async with AsyncClient(f"127.0.0.1:{router.port}", key="ar_wrong") as client:
        with pytest.raises(errors.Unauthenticated) as raised:
            await client.complete("hi")
        assert "ar_wrong" not in str(raised.value)


async def test_all_providers_down_names_the_decision(router: Router) -> None:
    for arm in ARMS:
        router.upstreams[arm].down = True
    async with AsyncClient(f"127.0.0.1:{router.port}", key=KEY, retry=NEVER) as client:
        with pytest.raises(errors.AllAttemptsFailed) as raised:
            await client.complete("What is 17 * 23?", FRESH)
    assert raised.value.decision_id
    assert raised.value.idempotency_key


async def test_threads_share_a_client(router: Router) -> None:
    def ask(client: Client, number: int) -> str:
        with client.stream(f"Tell me about river {number}.", FRESH) as stream:
            return "".join(stream.texts)

    def work() -> list[str]:
        with Client(f"127.0.0.1:{router.port}", key=KEY) as client, ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda number: ask(client, number), range(32)))

    assert await asyncio.to_thread(work) == ["Forty-two."] * 32


async def test_an_async_client_made_before_its_loop_serves_one_loop_after_another(
    router: Router,
) -> None:
    client = AsyncClient(f"127.0.0.1:{router.port}", key=KEY)

    async def asked() -> str:
        return (await client.complete("How many?", FRESH)).text

    with ThreadPoolExecutor(1) as thread:
        loop = asyncio.get_running_loop()
        for _ in range(2):
            told = await loop.run_in_executor(thread, lambda: asyncio.run(asked()))
            assert told == "Forty-two."
        assert await asked() == "Forty-two."
        with pytest.raises(RuntimeError, match="make one for each loop"):
            await loop.run_in_executor(thread, lambda: asyncio.run(asked()))
    await client.close()


async def test_a_client_that_was_closed_says_so(router: Router) -> None:
    for used in (True, False):
        client = AsyncClient(f"127.0.0.1:{router.port}", key=KEY)
        if used:
            await client.complete("How many?", FRESH)
        await client.close()
        with pytest.raises(grpc.aio.UsageError, match="closed"):
            await client.complete("How many?", FRESH)
