"""What the policy sees of a conversation: one new embedding a turn, none that is waited for."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from router.domain.chat import ChatRequest, Message, Role, TextPart
from router.domain.records import LoggedContext
from router.domain.requests import RouteRequest, RoutingOptions
from tests.router.serving.conftest import CONFIG, Core, asked

QUESTION = "Prove that the square root of two is irrational."
SYSTEM = "You teach undergraduates the theory of numbers."


def turn(*texts: str, system: str = "", no_cache: bool = True) -> RouteRequest:
    """Users' messages with answers between them."""
    made = [
        Message(role, (TextPart(text),))
        for said in texts
        for role, text in ((Role.USER, said), (Role.ASSISTANT, "Here it is."))
    ]
    head = [Message(Role.SYSTEM, (TextPart(system),))] if system else []
    options = RoutingOptions(no_cache=no_cache)
    return replace(asked(), chat=ChatRequest((*head, *made[:-1])), options=options)


async def seen(core: Core, request: RouteRequest) -> LoggedContext:
    done = await core.service.complete(request)
    assert done.record.choice is not None
    return done.record.choice.context


async def test_a_turn_without_content_is_seen_as_the_question_before(core: Core) -> None:
    question, other = await seen(core, turn(QUESTION)), await seen(core, turn("Hi, how are you?"))
    again = await seen(core, turn(QUESTION, "yes, please"))
    assert again.membership == question.membership
    assert again.membership != other.membership
    assert again.projection == question.projection
    assert question.conversation == ()
    assert again.conversation


async def test_what_a_map_is_fitted_to_is_what_the_policy_saw(core: Core) -> None:
    service = core.reloaded(f"{CONFIG}\nmap: {{sample_embeddings: 1}}\n")  # the newest one
    found = list[bytes]()
    for request in (turn(QUESTION), turn(QUESTION, "yes, please"), turn("yes, please")):
        await service.complete(request)
        await core.background.drain()
        found += [sample.vector for sample in await core.storage.survey.embeddings()]
    question, again, other = found
    assert again == question != other


async def test_a_turn_costs_one_embedding(core: Core) -> None:
    turns = [QUESTION, "Do the same for the root of three.", "And for primes in general?"]
    for number in range(1, 4):
        before = core.embedder.stats.computed
        await seen(core, turn(*turns[:number], system=SYSTEM))
        assert core.embedder.stats.computed - before == (2 if number == 1 else 1)


async def test_a_system_prompt_that_tells_the_task_moves_the_context(core: Core) -> None:
    plain, told = await seen(core, turn(QUESTION)), await seen(core, turn(QUESTION, system=SYSTEM))
    assert np.linalg.norm(np.subtract(plain.projection, told.projection)) > 0.01


async def test_earlier_turns_are_left_out_while_the_embedder_is_busy(core: Core) -> None:
    await core.embedder.warm_up()
    await core.embedder.embed("And now?")
    slow = [asyncio.create_task(core.embedder.embed("word " * 300 + str(i))) for i in range(5)]
    await asyncio.sleep(0)
    before = core.embedder.stats.computed
    alone = await seen(core, turn(QUESTION, "And now?", system=SYSTEM))
    assert core.embedder.cached(SYSTEM) is None
    assert core.embedder.cached(QUESTION) is None
    await asyncio.gather(*slow)
    assert core.embedder.stats.computed - before <= len(slow)
    whole = await seen(core, turn(QUESTION, "And now?", system=SYSTEM))
    assert alone.projection != whole.projection


@pytest.mark.parametrize("odd", ["", "\x00", "继续", "🙂" * 50])
async def test_odd_messages_make_a_context(core: Core, odd: str) -> None:
    context = await seen(core, turn(odd, QUESTION, odd, system=odd))
    numbers = [*context.membership, *context.projection, *context.features, *context.conversation]
    assert np.isfinite(numbers).all()
