"""Which prompts may share an answer with another wording at all."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from router.domain.canonical import MOST_CHARS
from router.domain.chat import (
    ChatRequest,
    Format,
    Message,
    ResponseFormat,
    Role,
    TextPart,
    Tool,
    ToolCall,
)
from router.domain.requests import is_prose


def ask(*texts: str) -> ChatRequest:
    return ChatRequest(tuple(Message(Role.USER, (TextPart(text),)) for text in texts))


PROSE = [
    "What is the capital of Norway?",
    "Could you explain how a heat pump works, please?",
    "Is 3 a prime number? And 4.5, is it one?",
    "Tell me about Node.js, e.g. its event loop.",
    "What's the difference between TCP and UDP (in short)?",
    "Recommend a well-known book - or two - on the history of Rome, no novels!",
    "Wie hoch ist der Eiffelturm?",
    "¿Cuál es la capital de Perú?",
    "Почему небо голубое?",
    "为什么天空是蓝色的\uff1f",
    "空はなぜ青いのですか。",
    "لماذا السماء زرقاء؟",
    "आसमान नीला क्यों होता है?",
    "List three ideas:\n- one for children\n- one for adults",
    "I pay $20 a month and 5% more next year. Is that much?",
    "Classes begin at 8 am. How do I import a car and return it?",
]
CODE = [
    "Explain this:\n```\nprint(1)\n```",
    "What does `ls` do?",
    "Fix this\n    return x\nplease",
    "Why does this fail\n\tx = 1",
    "rm -rf ./build",
    "rm -rf /build",
    "$ pip install numpy",
    "sudo reboot now",
    "git commit --amend what does it do",
    "docker ps | grep web",
    "for (int i = 0; i < n; i++)",
    "if x >= 3 then what",
    "if x <= 3 then what",
    "a != b",
    "def add(a, b):",
    "import os",
    "SELECT name FROM users",
    "Traceback (most recent call last):",
    '  File "a.py", line 3, in f',
    "java.lang.NullPointerException at com.x.Main.run",
    "ValueError was raised, why",
    "my_variable is not set",
    "open https://example.com/a and b",
    "<b>bold</b> means what",
    '{"a": 1} is what',
    "cat /etc/passwd",
    "the process ended with exit code 137",
]


@pytest.mark.parametrize("text", PROSE)
def test_a_question_in_words_is_prose(text: str) -> None:
    assert is_prose(ask(text))


@pytest.mark.parametrize("text", CODE)
def test_code_is_none(text: str) -> None:
    assert not is_prose(ask(text))


def test_a_long_prompt_is_none() -> None:
    assert is_prose(ask("a " * (MOST_CHARS // 2)))
    assert not is_prose(ask("a" * (MOST_CHARS + 1)))


def test_tools_their_results_and_json_are_none() -> None:
    plain = ask("Why?")
    assert is_prose(plain)
    assert not is_prose(replace(plain, tools=(Tool("look"),)))
    for kind in (Format.JSON_OBJECT, Format.JSON_SCHEMA):
        assert not is_prose(replace(plain, response_format=ResponseFormat(kind)))
    called = Message(Role.ASSISTANT, tool_calls=(ToolCall("c", "look", "{}"),))
    told = Message(Role.TOOL, (TextPart("Rain."),), tool_call_id="c")
    for more in ((called,), (told,)):
        assert not is_prose(replace(plain, messages=(*more, *plain.messages)))


def test_only_the_last_user_message_is_read() -> None:
    assert is_prose(ask("```x = 1```", "Why?"))
    assert not is_prose(ask("Why?", "```x = 1```"))


def test_a_prompt_at_the_bound_is_read_in_linear_time() -> None:
    for unit in (" ", "-", "a ", "\n ", "F", ".", "at x", "_", "File ."):
        text = (unit * MOST_CHARS)[:MOST_CHARS]
        began_s = time.process_time()
        is_prose(ask(text))
        assert time.process_time() - began_s < 0.05
