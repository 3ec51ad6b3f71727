"""When a turn of a session counts as asking again, and when it does not."""

from __future__ import annotations

import pytest
from adaptive_router.v1 import chat_pb2, router_pb2

from router.domain.events import Reasked
from tests.e2e.conftest import Router

TEXT = "What is the weather in Oslo today?"
CALL = chat_pb2.ToolCall(id="c", name="look", arguments="{}")


@pytest.fixture
def learns() -> bool:
    return False


def user(text: str = TEXT, image: str = "") -> chat_pb2.Message:
    parts = [chat_pb2.Part(text=text)] if text else []
    if image:
        parts.append(chat_pb2.Part(image_url=chat_pb2.ImageUrl(url=image)))
    return chat_pb2.Message(role=chat_pb2.ROLE_USER, parts=parts)


def tool_loop() -> list[chat_pb2.Message]:
    called = chat_pb2.Message(role=chat_pb2.ROLE_ASSISTANT, tool_calls=[CALL])
    told = chat_pb2.Message(role=chat_pb2.ROLE_TOOL, text="Rain.", tool_call_id="c")
    return [user(), called, told]


async def reasked(router: Router, *turns: list[chat_pb2.Message]) -> int:
    """How often one of the turns of a session was taken for a repetition."""
    for messages in turns:
        asked = router_pb2.CompleteRequest(
            chat=chat_pb2.ChatRequest(messages=messages, tools=[chat_pb2.Tool(name="look")]),
            routing=router_pb2.RoutingOptions(session_id="s"),
        )
        await router.stub.Complete(asked, metadata=router.metadata)
    events = await router.storage.events.read("0", 100, 0)
    return sum(isinstance(event, Reasked) for _, event in events)


async def test_the_same_words_again_do(router: Router) -> None:
    assert await reasked(router, [user()], [user(TEXT.lower())]) == 1


async def test_other_numbers_are_another_question(router: Router) -> None:
    turns = [[user(f"What is {n} times 23, in words?")] for n in (17, 18, 18)]
    assert await reasked(router, *turns) == 1


async def test_a_tools_answer_does_not(router: Router) -> None:
    assert await reasked(router, [user()], tool_loop(), tool_loop()) == 0


async def test_words_said_again_after_a_tools_answer_do(router: Router) -> None:
    assert await reasked(router, [user()], tool_loop(), [*tool_loop(), user()]) == 1


class TestImages:
    """Deployments that see."""

    @pytest.fixture
    def images(self) -> str:
        return ", images: true"

    async def test_another_image_is_another_question(self, router: Router) -> None:
        first, second = user(image="https://i/1"), user(image="https://i/2")
        assert await reasked(router, [first], [second]) == 0
        assert await reasked(router, [second]) == 1

    async def test_an_image_alone_does_not(self, router: Router) -> None:
        turns = [[user("", image=f"https://i/{n}")] for n in range(2)]
        assert await reasked(router, *turns) == 0
