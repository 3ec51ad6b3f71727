"""Answers given before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from adaptive_router.v1 import chat_pb2, router_pb2

from demo.world import Reply
from tests.e2e.conftest import Router, chat, request, until

TEXT = "What is the capital of Norway?"
NEAR = "what is the capital of Norway"


def status(router: Router, text: str, wanted: int) -> Callable[[], Awaitable[bool]]:
    async def asks() -> bool:
        return (await router.complete(text)).receipt.cache == wanted

    return asks


async def test_the_same_request_is_answered_once(router: Router) -> None:
    first = await router.complete(TEXT)
    arms = {first.receipt.arm}

    async def is_kept() -> bool:
        """Until it is, other arms may answer as well."""
        again = (await router.complete(TEXT)).receipt
        arms.add(again.arm)
        return again.cache == router_pb2.CACHE_STATUS_EXACT

    await until(is_kept)
    hit = await router.complete(TEXT)
    assert hit.answer.text == first.answer.text
    assert (hit.receipt.cost_usd, len(hit.receipt.attempts)) == (0.0, 0)
    assert hit.receipt.similarity == 1.0
    assert hit.receipt.arm in arms


async def test_a_near_prompt_is_answered_by_similarity(router: Router) -> None:
    await router.complete(TEXT)
    await until(status(router, TEXT, router_pb2.CACHE_STATUS_EXACT))
    receipt = (await router.complete(NEAR)).receipt
    assert receipt.cache == router_pb2.CACHE_STATUS_SEMANTIC
    assert 0.97 <= receipt.similarity < 1


async def test_a_prompt_seen_in_part_is_answered_as_itself_only(router: Router) -> None:
    ends = "please read this note of a visit and say in plain words what to do next " * 10
    note, other = f"{ends}broken arm {ends}", f"{ends}sore throat {ends}"
    await router.complete(note)
    await until(status(router, note, router_pb2.CACHE_STATUS_EXACT))
    assert (await router.complete(other)).receipt.cache == router_pb2.CACHE_STATUS_MISS


async def test_no_tenant_sees_anothers_answers(router: Router) -> None:
    await router.complete(TEXT)
    await until(status(router, TEXT, router_pb2.CACHE_STATUS_EXACT))
    for name, text in (("stranger", TEXT), ("other", NEAR)):
        metadata = await router.tenant(name)
        done = await router.stub.Complete(request(text), metadata=metadata)
        assert done.receipt.cache == router_pb2.CACHE_STATUS_MISS


async def test_bad_feedback_evicts_what_a_near_prompt_was_given(router: Router) -> None:
    await router.complete(TEXT)
    await until(status(router, TEXT, router_pb2.CACHE_STATUS_EXACT))
    near = await router.complete(NEAR)
    await router.feedback(near.receipt.decision_id, 0.0)
    receipt = (await router.complete(TEXT)).receipt
    assert receipt.cache == router_pb2.CACHE_STATUS_MISS


async def test_an_answer_that_failed_its_gate_is_not_kept(router: Router) -> None:
    for upstream in router.upstreams.values():
        upstream.find = lambda _: Reply("I'm sorry, but no.", 0.0, 10, 5)
    for _ in range(3):
        receipt = (await router.complete(TEXT)).receipt
        assert receipt.cache == router_pb2.CACHE_STATUS_MISS


async def test_no_cache_reads_and_writes_nothing(router: Router) -> None:
    for _ in range(3):
        receipt = (await router.complete(TEXT, no_cache=True)).receipt
        assert receipt.cache == router_pb2.CACHE_STATUS_BYPASS
    assert (await router.complete(TEXT)).receipt.cache == router_pb2.CACHE_STATUS_MISS


async def test_a_session_that_asks_again_gets_a_fresh_answer(router: Router) -> None:
    first = await router.complete(TEXT, session_id="s")
    await until(status(router, TEXT, router_pb2.CACHE_STATUS_EXACT))
    again = await router.complete(TEXT, session_id="s")
    assert again.receipt.cache == router_pb2.CACHE_STATUS_BYPASS
    assert again.receipt.decision_id != first.receipt.decision_id


async def test_a_known_answer_is_served_with_every_provider_down(router: Router) -> None:
    await router.complete(TEXT)
    await until(status(router, TEXT, router_pb2.CACHE_STATUS_EXACT))
    for upstream in router.upstreams.values():
        upstream.down = True
    assert (await router.complete(TEXT)).receipt.cache == router_pb2.CACHE_STATUS_EXACT


async def test_a_session_that_asks_again_evicts_what_was_not_good_enough(router: Router) -> None:
    await router.complete(TEXT)
    await until(status(router, TEXT, router_pb2.CACHE_STATUS_EXACT))
    served = await router.complete(TEXT, session_id="s")
    assert served.receipt.cache == router_pb2.CACHE_STATUS_EXACT
    await router.complete(NEAR, session_id="s")

    async def is_gone() -> bool:
        keys = await router.storage.client.call("KEYS", "ar:answer:*")
        return not keys

    await until(is_gone)
    assert (await router.complete(TEXT)).receipt.cache == router_pb2.CACHE_STATUS_MISS


CODE, NEAR_CODE = "What does the command ls -l do?", "what does the command ls -l do"
LOOK = chat_pb2.Tool(name="look")
JSON = chat_pb2.ResponseFormat(kind=chat_pb2.ResponseFormat.KIND_JSON_OBJECT)


async def asked_again(router: Router, text: str, near: str, **more: object) -> int:
    """Ask, ask the same again, then nearly the same; returns where the last answer came from."""

    async def ask(said: str) -> int:
        asked = router_pb2.CompleteRequest(chat=chat(said, **more))
        done = await router.stub.Complete(asked, metadata=router.metadata)
        return int(done.receipt.cache)

    async def is_kept() -> bool:
        return await ask(text) == router_pb2.CACHE_STATUS_EXACT

    await until(is_kept)
    return await ask(near)


async def test_code_and_tools_are_answered_as_themselves_only(router: Router) -> None:
    status = router_pb2.CACHE_STATUS_MISS
    for upstream in router.upstreams.values():
        upstream.find = lambda _: Reply('{"n": 1}', 1.0, 100, 50)
    assert await asked_again(router, CODE, NEAR_CODE) == status
    assert await asked_again(router, TEXT, NEAR, tools=[LOOK]) == status
    assert await asked_again(router, TEXT, NEAR, response_format=JSON) == status
    assert await asked_again(router, TEXT, NEAR) == router_pb2.CACHE_STATUS_SEMANTIC
