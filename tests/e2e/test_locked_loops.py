"""Who asked for tools answers their results, whatever the policy would choose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from adaptive_router.v1 import chat_pb2, router_pb2

from router.domain.events import Decided
from router.domain.records import DecisionRecord
from router.domain.tenants import TenantLimits
from router.learning.learner_state import split
from tests.e2e.conftest import Router, learned, until
from tests.e2e.test_tool_loops import STEPS, TOOL, Thinker, thinkers
from tests.e2e.wire import Asked, Reply, Wire, on_uvloop, routed, whole

PRICES = "input_usd_per_mtok: {0}, output_usd_per_mtok: {0}"
CHEAPEST = "policy: {{name: fixed, fixed: {0}}}\ncache: {{enabled: false}}"


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def wired(models: list[Thinker], cheap: str) -> dict[str, list[Wire]]:
    """Returns a deployment of each model; that of `cheap` costs a hundredth of the others."""
    return {
        m.arm: [
            Wire(
                m.answer,
                m.dialect,
                options=m.options,
                model=m.arm,
                price=PRICES.format(0.1 if m.arm == cheap else 10),
            )
        ]
        for m in models
    }


@dataclass(slots=True)
class Walk:
    """A loop of tools as its caller walks it. receipts: of every turn."""

    router: Router
    live: bool = False
    metadata: Any = None
    name: str = "Look ten times."
    chat: chat_pb2.ChatRequest = field(init=False)
    receipts: list[router_pb2.Receipt] = field(default_factory=list)

    def __post_init__(self) -> None:
        question = chat_pb2.Message(role=chat_pb2.ROLE_USER, text=self.name)
        self.chat = chat_pb2.ChatRequest(messages=[question], tools=[TOOL])
        self.metadata = self.metadata or self.router.metadata

    async def step(self, **options: Any) -> router_pb2.Receipt:
        """Ask once, then do what the answer asks for."""
        routing = router_pb2.RoutingOptions(**options)
        said = await (self._streamed(routing) if self.live else self._whole(routing))
        assert said.tool_calls
        self.chat.messages.append(said)
        for call in said.tool_calls:
            self.chat.messages.add(role=chat_pb2.ROLE_TOOL, text="Seen.", tool_call_id=call.id)
        return self.receipts[-1]

    async def _whole(self, routing: router_pb2.RoutingOptions) -> chat_pb2.Message:
        request = router_pb2.CompleteRequest(chat=self.chat, routing=routing)
        done = await self.router.stub.Complete(request, metadata=self.metadata)
        self.receipts.append(done.receipt)
        answer = done.answer
        return chat_pb2.Message(
            role=chat_pb2.ROLE_ASSISTANT,
            text=answer.text,
            tool_calls=answer.tool_calls,
            opaque=answer.opaque,
        )

    async def _streamed(self, routing: router_pb2.RoutingOptions) -> chat_pb2.Message:
        request = router_pb2.StreamCompleteRequest(chat=self.chat, routing=routing)
        said = chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT)
        async for item in self.router.stub.StreamComplete(request, metadata=self.metadata):
            said.text += item.text_delta
            if item.HasField("tool_call_delta"):
                piece = item.tool_call_delta
                if piece.id:
                    said.tool_calls.add(id=piece.id, name=piece.name)
                said.tool_calls[piece.index].arguments += piece.arguments
            if item.HasField("done"):
                said.opaque.extend(item.done.opaque)
                self.receipts.append(item.done.receipt)
        return said

    @property
    def arms(self) -> list[str]:
        return [receipt.arm for receipt in self.receipts]

    @property
    def locked(self) -> list[bool]:
        return [receipt.locked for receipt in self.receipts]


async def decided(router: Router) -> dict[str, DecisionRecord]:
    """Returns what the learner is told of every decision."""
    events = await router.storage.events.read("0", 1_000, 0)
    return {e.record.id: e.record for _, e in events if isinstance(e, Decided)}


@on_uvloop
@pytest.mark.parametrize("cheap", [m.arm for m in thinkers()])
async def test_who_asked_answers_for_ten_steps_whoever_is_cheaper(
    tmp_path: Path, cheap: str
) -> None:
    """Every pair of dialects: the one that began, and the one that the policy would choose."""
    models = thinkers()
    wires = wired(models, cheap)
    async with routed(tmp_path, wires, sections=CHEAPEST.format(cheap)) as router:
        for model in models:
            for live in (False, True):
                model.own = 0
                walk = Walk(router, live, name=f"Look ten times, {model.arm} {live}.")
                await walk.step(arm=model.arm)
                for _ in range(STEPS - 1):
                    await walk.step()
                assert walk.arms == [model.arm] * STEPS, (model.arm, live)
                assert walk.locked == [False] + [True] * (STEPS - 1)
                assert [r.turn.number for r in walk.receipts] == [*range(1, STEPS + 1)]
                # The calls of one step go back with their thoughts in each of the bodies after it.
                calls = len(walk.chat.messages[1].tool_calls)
                assert model.own == calls * STEPS * (STEPS - 1) // 2
        # The policy did choose who is cheap, wherever it was asked.
        free = Walk(router, name="Look once.")
        await free.step()
        assert free.arms == [cheap]


@on_uvloop
async def test_a_locked_turn_is_no_choice_and_still_tells_what_is_charged(tmp_path: Path) -> None:
    models = thinkers()
    sections = CHEAPEST.format("kimi")
    async with routed(tmp_path, wired(models, "kimi"), sections=sections, learns=True) as router:
        walk = Walk(router)
        for options in ({"arm": "gemini"}, {}, {}):
            await walk.step(**options)
        records = await decided(router)
        await learned(router, (f"Tell me of moss, {n}." for n in range(1_000)))
        stored = await router.storage.snapshots.load()
    assert stored is not None
    rates = split(stored.payload).rates
    assert rates is not None
    assert rates["all"][1:3] == pytest.approx([1, 1], rel=0.02)  # a second and a later turn
    _, second, third = (records[r.decision_id] for r in walk.receipts)
    receipt = walk.receipts[1]
    assert (receipt.locked, receipt.propensity, receipt.plan, receipt.policy) == (True, 1, "", "")
    assert (second.locked, second.choice, second.settled) == (True, None, True)
    assert [a.input_tokens for a in second.attempts] == [9]
    assert second.turn is not None
    assert third.turn is not None
    assert (second.turn.number, third.turn.number) == (2, 3)
    spent = [r.turn.spent_usd for r in walk.receipts]
    costs = [sum(r.cost_usd for r in walk.receipts[: i + 1]) for i in range(3)]
    assert spent == pytest.approx(costs)
    assert [r.turn.stay_usd for r in walk.receipts] == pytest.approx(costs)


@on_uvloop
async def test_with_free_loops_the_policy_chooses_every_turn(tmp_path: Path) -> None:
    sections = CHEAPEST.format("kimi") + "\nsessions: {tool_loops: free}"
    async with routed(tmp_path, wired(thinkers(), "kimi"), sections=sections) as router:
        walk = Walk(router)
        await walk.step(arm="gemini")
        for _ in range(3):
            await walk.step()
    assert walk.arms == ["gemini", "kimi", "kimi", "kimi"]
    assert not any(walk.locked)
    assert all(r.policy and r.plan == "kimi" for r in walk.receipts[1:])


def failing_after(model: Thinker, answers: int) -> Callable[[Asked], Reply]:
    """Returns the answers of a model that is down after some of them."""
    seen: list[Asked] = []

    def answer(asked: Asked) -> Reply:
        seen.append(asked)
        return whole({"error": "down"}, 503) if len(seen) > answers else model.answer(asked)

    return answer


@on_uvloop
async def test_an_ill_deployment_in_mid_loop_hands_over(tmp_path: Path) -> None:
    """Attempts fail first, then its circuit opens: others go on, without its opaque parts."""
    for cheap in (m.arm for m in thinkers()):
        models = thinkers()
        ill = next(m for m in models if m.arm != cheap)
        wires = wired(models, cheap)
        wires[ill.arm][0].answers = failing_after(ill, 3)
        folder = tmp_path / cheap
        folder.mkdir()
        sections = CHEAPEST.format(cheap) + "\nhealth: {failures: 2, cooldown_ms: 60000}"
        async with routed(folder, wires, sections=sections) as router:
            walk = Walk(router)
            await walk.step(arm=ill.arm)
            for _ in range(STEPS - 1):
                await walk.step()
            records = await decided(router)
        other = walk.arms[3]
        assert other != ill.arm
        # From there on the one that has asked last is locked; all of it is checked by `Thinker`.
        assert walk.arms == [ill.arm] * 3 + [other] * (STEPS - 3)
        assert walk.locked == [False, True, True, False] + [True] * (STEPS - 4)
        handed_over = records[walk.receipts[3].decision_id]
        calls = [(a.arm, a.outcome.value) for a in handed_over.attempts]
        assert calls == [(ill.arm, "failed"), (other, "accepted")]
        assert (handed_over.choice, handed_over.locked) == (None, False)


@on_uvloop
async def test_an_open_circuit_lets_the_policy_choose(tmp_path: Path) -> None:
    wires = wired(thinkers(), "kimi")
    async with routed(tmp_path, wires, sections=CHEAPEST.format("kimi")) as router:
        walk = Walk(router)
        await walk.step(arm="gemini")
        for _ in range(3):
            await router.storage.health.failed("gemini0")
        receipt = await walk.step()
    assert (receipt.arm, receipt.locked, receipt.plan) == ("kimi", False, "kimi")
    assert len(wires["gemini"][0].asked) == 1


@on_uvloop
async def test_what_the_caller_asks_for_comes_before_the_lock(tmp_path: Path) -> None:
    async with routed(
        tmp_path, wired(thinkers(), "kimi"), sections=CHEAPEST.format("kimi")
    ) as router:
        pinned, poor = Walk(router, name="Look, pinned."), Walk(router, name="Look, poor.")
        await pinned.step(arm="gemini")
        receipt = await pinned.step(arm="claude")
        assert (receipt.arm, receipt.locked) == ("claude", False)
        assert (await pinned.step()).arm == "claude"

        await poor.step(arm="gemini")
        receipt = await poor.step(max_cost_usd=0.001)
        assert (receipt.arm, receipt.locked) == ("kimi", False)
        assert receipt.cost_usd <= 0.001


@on_uvloop
async def test_arms_that_a_tenant_may_not_use_are_not_locked(tmp_path: Path) -> None:
    """The loop was begun where more was permitted."""
    async with routed(
        tmp_path, wired(thinkers(), "claude"), sections=CHEAPEST.format("claude")
    ) as router:
        walk = Walk(router, metadata=await router.tenant("narrow"))
        await walk.step(arm="gemini")
        assert (await walk.step()).locked
        await router.storage.tenants.limit("narrow", TenantLimits(arms=("claude", "kimi")))
        request = router_pb2.DecideRequest(chat=walk.chat)

        async def is_narrowed() -> bool:
            """Limits are looked up anew after some seconds."""
            made = await router.stub.Decide(request, metadata=walk.metadata)
            return made.receipt.arm != "gemini"

        await until(is_narrowed)
        receipt = await walk.step()
    assert (receipt.arm, receipt.locked) == ("claude", False)


@on_uvloop
async def test_a_caller_that_calls_itself_is_told_who_asked(tmp_path: Path) -> None:
    async with routed(
        tmp_path, wired(thinkers(), "kimi"), sections=CHEAPEST.format("kimi")
    ) as router:
        walk = Walk(router)
        await walk.step(arm="gemini")
        request = router_pb2.DecideRequest(chat=walk.chat)
        made = await router.stub.Decide(request, metadata=router.metadata)
        assert (made.receipt.arm, made.receipt.deployment) == ("gemini", "gemini0")
        assert made.receipt.locked
        assert made.receipt.turn.number == 2
        assert list(made.rungs) == ["gemini"]
