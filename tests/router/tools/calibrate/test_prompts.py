"""Files of prompts, and the messages about mistakes in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from router.domain.chat import Format, ImagePart, Role
from router.tools.calibrate.collect.prompts import (
    MAX_LINE_BYTES,
    MAX_PROMPTS,
    Prompt,
    PromptsInvalid,
    prompts_in,
    read_prompts,
)


def read(*values: object) -> list[Prompt]:
    return read_prompts([json.dumps(value).encode() for value in values], "p.jsonl")


def mistakes(*lines: bytes) -> list[str]:
    with pytest.raises(PromptsInvalid) as caught:
        read_prompts(lines, "p.jsonl")
    return caught.value.message.splitlines()


def test_read_prompts_reads_prompts_and_chats() -> None:
    chat = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, IMAGE]},
    ]
    wanted = {"type": "json_object"}
    one, two = read(
        {"prompt": "2+2?", "reference": 4, "topic": "sums"},
        {"messages": chat, "id": "b", "response_format": wanted},
    )
    assert (one.id, one.line, one.chat.prompt, one.reference) == ("1", 1, "2+2?", 4)
    assert (two.id, two.chat.prompt, two.reference) == ("b", "What is this?", None)
    assert [m.role for m in two.chat.messages][:2] == [Role.SYSTEM, Role.USER]
    assert isinstance(two.chat.messages[-1].parts[1], ImagePart)
    assert two.chat.response_format.kind is Format.JSON_OBJECT


IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def test_every_mistake_is_a_line_with_its_number_and_fix() -> None:
    told = mistakes(
        b"{",
        b"[1]",
        b'{"prompt": ""}',
        b'{"prompt": "a", "refernce": "b", "id": true}',
        b'{"prompt": "a", "messages": []}',
        b'{"messages": [{"role": "robot", "content": "x"}]}',
        b'{"messages": [{"role": "assistant", "content": "x"}]}',
        b'{"prompt": "\xff"}',
        b'{"prompt": "b", "response_format": {"type": "xml"}}',
    )
    assert told == [
        "p.jsonl:1: write one JSON object on the line",
        'p.jsonl:2: write a JSON object, such as {"prompt": "..."}',
        "p.jsonl:3: prompt: write some text",
        "p.jsonl:4: refernce: no such key: did you mean reference?",
        "p.jsonl:4: id: write at most 128 characters, or a whole number",
        "p.jsonl:5: write either prompt (a text) or messages (a chat)",
        "p.jsonl:6: messages[0].role: write one of system, developer, user, assistant",
        "p.jsonl:7: messages: end with a message of the user: it is what is answered",
        "p.jsonl:8: write one JSON object on the line",
        "p.jsonl:9: response_format: write type text, json_object, or json_schema with a schema",
    ]


def test_a_mistake_never_quotes_the_prompt() -> None:
    told = mistakes(b'{"prompt": 7, "id": "hunter2-hunter2"}', b'{"messages": "hunter2"}')
    assert "hunter2" not in "".join(told)


def test_repeated_ids_are_mistakes_and_repeated_questions_are_skipped() -> None:
    same = {"prompt": "2+2?", "reference": 4}
    assert len(read(same, same, {"prompt": "3+3?"})) == 2
    lines = [{"prompt": "a", "id": "x"}, {"prompt": "b", "id": "x"}, {**same}, {**same}]
    lines[3]["reference"] = 5
    told = mistakes(*(json.dumps(line).encode() for line in lines))
    assert told == [
        "p.jsonl:2: id: line 1 has it already: write another",
        "p.jsonl:4: reference: line 3 asks the same with another reference: keep one",
    ]


@pytest.mark.parametrize("lines", [(), (b"",), (b"  ", b"\t")])
def test_a_file_without_prompts_is_a_mistake(lines: tuple[bytes, ...]) -> None:
    assert mistakes(*lines) == [
        'p.jsonl:1: write a line for each prompt, such as {"prompt": "..."}'
    ]


def test_overlong_and_too_many_lines_are_mistakes(tmp_path: Path) -> None:
    long = b'{"prompt": "' + b"x" * MAX_LINE_BYTES + b'"}'
    file = tmp_path / "p.jsonl"
    file.write_bytes(long * 3 + b"\n" + b'{"prompt": "a"}\n')
    with pytest.raises(PromptsInvalid, match=f"p.jsonl:1: keep a line to {MAX_LINE_BYTES} bytes$"):
        prompts_in(file)
    many = [json.dumps({"prompt": f"{i}"}).encode() for i in range(MAX_PROMPTS + 5)]
    assert mistakes(*many) == [
        f"p.jsonl:{MAX_PROMPTS + 1}: keep to {MAX_PROMPTS} prompts: cut the file here"
    ]
    assert mistakes(*[b"{"] * 500)[-1] == "... and 400 more"


def test_deeply_nested_json_is_a_mistake() -> None:
    deep = b'{"prompt": "a", "reference": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert mistakes(deep) == ["p.jsonl:1: write one JSON object on the line"]


def test_a_missing_file_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(PromptsInvalid, match="name a file that this process can read"):
        prompts_in(tmp_path / "none.jsonl")


def test_a_label_is_read_and_one_that_is_no_label_is_a_mistake() -> None:
    lines = [b'{"prompt": "a", "task": "support"}', b'{"prompt": "b"}']
    assert [one.task for one in read_prompts(lines, "p")] == ["support", ""]
    with pytest.raises(PromptsInvalid, match="p:1: task: write at most 128 characters"):
        read_prompts([b'{"prompt": "a", "task": 5}'], "p")
