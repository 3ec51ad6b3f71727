"""Policies that the config tells what to do, in a whole router."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.e2e.conftest import Router, until

CODE = "Write a python function that reverses a list."
PROOF = "Prove that there are infinitely many prime numbers."
CHAT = "Hi there, how has your day been so far?"

RULES = """\
policy:
  name: rules
  rules: [{plan: reasoning, when: {code: true}}]
  default_plan: cheap
"""
INTENT = """\
policy:
  name: intent
  default_plan: cheap
  intent:
    examples:
      reasoning:
        - Prove that the square root of two is irrational.
        - Show that the sum of two odd numbers is even.
"""


@pytest.fixture
def sections(request: pytest.FixtureRequest) -> str:
    return f"{request.param}cache: {{enabled: false}}\n"


async def arms(router: Router, text: str) -> Sequence[str]:
    return [(await router.complete(text)).receipt.arm for _ in range(6)]


@pytest.mark.parametrize(
    ("sections", "name", "hard"),
    [(RULES, "rules", CODE), (INTENT, "intent", PROOF)],
    indirect=["sections"],
)
async def test_a_prompt_goes_where_the_config_says(router: Router, name: str, hard: str) -> None:
    """Before and after a snapshot of the learner, which has embedded no examples, is served."""
    first = (await router.complete(CHAT)).receipt
    assert (first.policy, first.policy_version) == (name, 0)

    async def is_newer() -> bool:
        return (await router.complete(CHAT)).receipt.policy_version > 0

    for _ in range(2):
        assert (await arms(router, hard)).count("reasoning") >= 5
        assert (await arms(router, CHAT)).count("cheap") >= 5
        await until(is_newer)
