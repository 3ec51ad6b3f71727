"""A caller's own verifier over real HTTP: when it helps, and when it misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from adaptive_router.v1 import router_pb2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from demo.world import Reply
from router.domain.tenants import TenantLimits
from tests.e2e.conftest import Router, health, request, served, until

MAX_FAILURES = 2


def says(quality: float | None) -> Callable[[], Response]:
    return lambda: JSONResponse({"quality": quality})


RIGHT = says(1.0)


@dataclass(slots=True)
class Verifier:
    """reply: what the next call is answered with; None to never answer. told: bodies received."""

    reply: Callable[[], Response] | None = RIGHT
    told: list[dict[str, Any]] = field(default_factory=list)

    def app(self) -> Starlette:
        async def verify(asked: Request) -> Response:
            self.told.append(await asked.json())
            if self.reply is None:
                await asyncio.sleep(5)
                return Response()
            return self.reply()

        async def elsewhere(_: Request) -> Response:
            return JSONResponse({"quality": 1.0})

        return Starlette(
            routes=[
                Route("/verify", verify, methods=["POST"]),
                Route("/elsewhere", elsewhere, methods=["GET", "POST"]),
            ]
        )


@pytest_asyncio.fixture
async def verifier() -> AsyncIterator[tuple[Verifier, int]]:
    made = Verifier()
    async with served(made) as port:
        yield made, port


@pytest.fixture
def plans() -> str:
    return "{ladder: [cheap, reasoning]}"


@pytest.fixture
def more() -> str:
    """More of the config."""
    return "cache: {enabled: false}"


@pytest.fixture
def sections(verifier: tuple[Verifier, int], more: str) -> str:
    return f"""
{more}
judging:
  audit_share: 0
  verifier:
    url: http://127.0.0.1:{verifier[1]}/verify
    timeout_ms: 300
    max_failures: {MAX_FAILURES}
    cooldown_ms: 1000
    tenants: [test]
"""


@pytest.fixture
def learns() -> bool:
    return False


def outcomes(receipt: router_pb2.Receipt) -> list[tuple[str, str]]:
    return [(a.arm, a.why) for a in receipt.attempts]


async def judgement(router: Router, receipt: router_pb2.Receipt) -> router_pb2.Judgement:
    return (await router.decision(receipt.decision_id)).judgement


async def test_its_word_decides_between_the_rungs(
    router: Router, verifier: tuple[Verifier, int], texts: Iterator[str]
) -> None:
    program, _ = verifier
    program.reply = says(0.9)
    good = (await router.complete(text := next(texts))).receipt
    assert outcomes(good) == [("cheap", "passed")]
    assert program.told[0] == {
        "prompt": text,
        "messages": [{"role": "user", "content": text}],
        "answer": "Forty-two.",
        "arm": "cheap",
    }
    program.reply = says(0.1)
    bad = (await router.complete(next(texts))).receipt
    assert outcomes(bad) == [("cheap", "judged"), ("reasoning", "passed")]
    said = await judgement(router, bad)
    assert said.verified == pytest.approx(0.1)
    assert [(s.step, s.by) for s in said.steps] == [(router_pb2.STEP_ESCALATE, "verifier")]


async def test_its_word_is_a_label_in_the_log(
    router: Router, verifier: tuple[Verifier, int], texts: Iterator[str]
) -> None:
    verifier[0].reply = says(0.25)
    await router.complete(next(texts))
    ((_, event),) = await router.storage.events.read("0", 10, 0)
    assert event.record.judged.verified == 0.25


@pytest.mark.parametrize(
    "reply",
    [
        lambda: Response('{"quality": NaN}', media_type="application/json"),
        lambda: Response('{"quality": 1e999}', media_type="application/json"),
        lambda: JSONResponse({"quality": 1.5}),
        lambda: JSONResponse({"quality": "good"}),
        lambda: JSONResponse({"score": 1.0}),
        lambda: Response("It is good."),
        lambda: Response("[" * 50_000),
        lambda: Response(" " * 70_000 + '{"quality": 0.0}'),
        lambda: RedirectResponse("/elsewhere"),
        lambda: JSONResponse({"quality": 0.0}, status_code=500),
        None,
    ],
    ids=[
        "nan",
        "inf",
        "range",
        "text",
        "other",
        "prose",
        "deep",
        "large",
        "redirect",
        "500",
        "hangs",
    ],
)
async def test_one_that_misbehaves_is_gone_without(
    router: Router,
    verifier: tuple[Verifier, int],
    texts: Iterator[str],
    reply: Callable[[], Response] | None,
) -> None:
    """The answer passed the certain checks: it is served, charged once, and nothing is labelled."""
    verifier[0].reply = reply
    receipt = (await router.complete(next(texts))).receipt
    assert outcomes(receipt) == [("cheap", "passed")]
    assert receipt.cost_usd == pytest.approx(150 * 0.1 / 1e6)
    said = await judgement(router, receipt)
    assert not said.HasField("verified")
    assert [s.by for s in said.steps] == ["gate"]


@pytest.mark.parametrize("reply", [says(None), lambda: Response("?")], ids=["abstains", "fails"])
async def test_one_that_fails_or_abstains_too_often_is_left_alone_for_all_to_see(
    router: Router,
    verifier: tuple[Verifier, int],
    texts: Iterator[str],
    reply: Callable[[], Response],
) -> None:
    program, _ = verifier
    program.reply = reply
    for _ in range(MAX_FAILURES + 3):
        await router.complete(next(texts))
    assert len(program.told) == MAX_FAILURES

    async def is_told() -> bool:
        return not await health(router, "verifier")

    await until(is_told)
    assert await health(router, "")
    program.reply = says(0.0)

    async def is_asked_again() -> bool:
        return (await router.complete(next(texts))).receipt.arm == "reasoning"

    await until(is_asked_again)

    async def is_well() -> bool:
        return await health(router, "verifier")

    await until(is_well)


async def test_it_is_shown_nothing_of_other_tenants(
    router: Router, verifier: tuple[Verifier, int], texts: Iterator[str]
) -> None:
    metadata = await router.tenant("other", TenantLimits())
    await router.stub.Complete(request(next(texts)), metadata=metadata)
    assert verifier[0].told == []


async def test_a_bad_answer_is_served_where_nobody_else_can_be_had(
    router: Router, verifier: tuple[Verifier, int], texts: Iterator[str]
) -> None:
    verifier[0].reply = says(0.0)
    router.upstreams["reasoning"].down = router.upstreams["fallback"].down = True
    done = await router.complete(next(texts))
    assert (done.receipt.arm, done.receipt.attempts[0].why) == ("cheap", "judged")


async def test_an_answer_of_a_million_characters_is_judged_in_time(
    router: Router, verifier: tuple[Verifier, int], texts: Iterator[str]
) -> None:
    router.upstreams["cheap"].find = lambda _: Reply("[" * 1_000_000, 1.0, 100, 50)
    verifier[0].reply = says(1.0)
    done = await router.complete(next(texts))
    assert len(done.answer.text) == 1_000_000
    said = await judgement(router, done.receipt)
    assert all(-1 <= signal <= 1.5 for signal in said.signals)


@pytest.mark.parametrize("more", ["attempts: {max_per_request: 1}"])
@pytest.mark.parametrize(("quality", "kept"), [(1.0, 1), (0.0, 0)])
async def test_an_answer_that_it_rejects_is_served_if_need_be_and_not_kept(
    router: Router,
    verifier: tuple[Verifier, int],
    texts: Iterator[str],
    quality: float,
    kept: int,
) -> None:
    verifier[0].reply = says(quality)
    done = await router.complete(next(texts))
    assert (done.receipt.arm, len(done.receipt.attempts)) == ("cheap", 1)

    async def has_settled() -> bool:
        claims = await router.storage.client.call("KEYS", "ar:answering:*")
        return not claims

    await until(has_settled)
    assert len(await router.storage.client.call("KEYS", "ar:answer:*")) == kept
