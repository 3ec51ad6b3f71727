"""One model at two efforts is two arms: sent, charged and learned apart."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from adaptive_router.v1 import router_pb2

from tests.e2e.conftest import Router, chat, until
from tests.e2e.prompt_caches import AnthropicBiller, Biller, GeminiBiller, OpenAIBiller
from tests.e2e.wire import Json, on_uvloop, routed

ASKED = 10
NUMBERS = count()
SECTIONS = "policy: {weights: {cost: 0.05}, initial_pulls: 2}\ncache: {enabled: false}"


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def _unused(_: Any) -> Any:
    raise AssertionError


EFFORTS: dict[str, tuple[type[Biller], dict[str, str], Callable[[Json], Any], dict[str, Any]]] = {
    "openai": (
        OpenAIBiller,
        {"low": "{reasoning_effort: low}", "high": "{reasoning_effort: high}"},
        lambda body: body.get("reasoning_effort"),
        {"low": "low", "high": "high"},
    ),
    "anthropic": (
        AnthropicBiller,
        {
            "low": "{thinking: {type: disabled}}",
            "high": "{thinking: {type: enabled, budget_tokens: 2048}}",
        },
        lambda body: body["thinking"]["type"],
        {"low": "disabled", "high": "enabled"},
    ),
    "gemini": (
        GeminiBiller,
        {
            "low": "{generationConfig: {thinkingConfig: {thinkingBudget: 0}}}",
            "high": "{generationConfig: {thinkingConfig: {thinkingBudget: 1024}}}",
        },
        lambda body: body["generationConfig"]["thinkingConfig"]["thinkingBudget"],
        {"low": 0, "high": 1024},
    ),
}


@pytest.mark.parametrize("name", EFFORTS)
@on_uvloop
async def test_two_efforts_are_two_arms(name: str, tmp_path: Path) -> None:
    kind, parameters, effort_of, expected = EFFORTS[name]
    arms = {
        arm: kind(_unused, model="one", options=f", parameters: {written}")
        for arm, written in parameters.items()
    }
    wires = {arm: [biller] for arm, biller in arms.items()}
    async with routed(tmp_path, wires, sections=SECTIONS, learns=True) as router:
        costs = await learned_costs(router)
    sent = {arm: {effort_of(a.body) for a in biller.asked} for arm, biller in arms.items()}
    assert sent == {arm: {effort} for arm, effort in expected.items()}
    assert len({repr(_of_caller(b.asked[0].body)) for b in arms.values()}) == 1
    thought = {arm: {c.thought for c in biller.bill} for arm, biller in arms.items()}
    assert max(thought["low"]) < min(thought["high"])
    assert costs["high"] > 2 * costs["low"]
    assert all(not biller.refused for biller in arms.values())


def _of_caller(body: Json) -> Json:
    own = (
        "reasoning_effort",
        "thinking",
        "generationConfig",
        "temperature",
        "messages",
        "contents",
    )
    return {name: value for name, value in body.items() if name not in own}


async def learned_costs(router: Router) -> dict[str, float]:
    """Ask until costs of both arms are known, and return what a request is expected to cost."""
    costs: dict[str, float] = {}

    async def are_known() -> bool:
        for _ in range(ASKED):
            asked = router_pb2.CompleteRequest(
                chat=chat(f"Tell me of {next(NUMBERS)}.", temperature=0.5)
            )
            done = await router.stub.Complete(asked, metadata=router.metadata)
            (attempt,) = done.receipt.attempts
            assert attempt.cost_usd == pytest.approx(_usd(attempt))
        decision = await router.decision(done.receipt.decision_id)
        costs.update({p.plan: p.expected_cost_usd for p in decision.plans})
        return costs.keys() == {"low", "high"} and costs["high"] > 2 * costs["low"] > 0

    await until(are_known)
    return costs


def _usd(attempt: router_pb2.Attempt) -> float:
    return (attempt.input_tokens + 10 * attempt.output_tokens) / 1e6
