"""Recorded answers: `text_<arm>`, or the short `ans_<arm>` where no text was kept."""

from __future__ import annotations

from collections.abc import Sequence

from bench.lab.errors import BenchError
from bench.lab.provider import Answers
from bench.lab.recorded import Recorded
from router.gates.closed_answers import compare
from router.gates.gate_session import MOST_COMPARED_CHARS
from router.gates.signals import question_of

TEXT, SHORT = "text_", "ans_"


def answers_of(data: Recorded, name: str) -> Answers:
    """Returns the answers of every arm; raises BenchError where the file `name` has none."""
    return {arm: _texts(data, arm, name) for arm in data.arms}


def _texts(data: Recorded, arm: str, name: str) -> tuple[str, ...]:
    there = [p + arm for p in (TEXT, SHORT) if p + arm in data.columns.column_names]
    if not there:
        raise BenchError(
            f"{name} has no column {TEXT}{arm} or {SHORT}{arm}; choose arms whose answers were "
            "recorded, or --no-answers to replay outcomes alone"
        )
    columns = [data.columns.column(column).to_pylist() for column in there]
    odd = next((v for c in columns for v in c if v is not None and not isinstance(v, str)), None)
    if odd is not None:
        raise BenchError(f"{name} has answers of {arm} that are no text; write them as strings")
    return tuple(next((text for text in row if text), "") for row in zip(*columns, strict=True))


def open_texts(data: Recorded, answers: Answers, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Returns the texts that gates compare by their embeddings, cut as the service cuts them."""
    found: dict[str, None] = {}
    for one, other in pairs:
        rows = zip(data.prompts, answers[one], answers[other], strict=True)
        for prompt, first, second in rows:
            told = first.strip() and second.strip()
            if told and compare(first, second, question_of(prompt).asked) is None:
                found |= dict.fromkeys(text[:MOST_COMPARED_CHARS] for text in (first, second))
    return list(found)
