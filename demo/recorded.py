"""Real prompts and real answers of three models, replayed (see the data's own README)."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from demo.client import Ask
from demo.world import Profile, Reply

FILE = "gsm_answers.parquet"
MODELS = {"cheap": "llama31_8b", "reasoning": "o1_mini", "fallback": "gemini15_flash"}
JUDGED = (*MODELS.values(), "gpt_4o_mini", "llama31_70b")
# List prices at the time of recording; speed and failures are invented.
PROFILES = {
    "cheap": Profile(0.22, 0.22, first_token_ms=25, token_ms=0.25, failure_rate=0.0),
    "reasoning": Profile(3.0, 12.0, first_token_ms=90, token_ms=0.4, failure_rate=0.0),
    "fallback": Profile(0.075, 0.30, first_token_ms=40, token_ms=0.3, failure_rate=0.0),
}


class DataMissing(RuntimeError):
    """The recorded answers are not there."""


def data_dir() -> Path:
    return Path(os.environ.get("ROUTER_DATA_DIR", "../shared/data"))


class RecordedWorld:
    """Implements `World`. Raises DataMissing."""

    def __init__(self, count: int, seed: int) -> None:
        path = data_dir() / FILE
        if not path.is_file():
            raise DataMissing(f"no {FILE} in {data_dir()}: set ROUTER_DATA_DIR to its directory")
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        random.Random(seed).shuffle(rows)
        self._rows = rows[:count]

    @cached_property
    def asks(self) -> Sequence[Ask]:
        return [Ask(i, str(row["prompt"])) for i, row in enumerate(self._rows)]

    @property
    def profiles(self) -> Mapping[str, Profile]:
        return PROFILES

    def reply(self, arm: str, index: int) -> Reply:
        """Only the final answer of o1_mini was recorded."""
        row, model = self._rows[index], MODELS[arm]
        text = row.get(f"text_{model}") or f"The answer is {row[f'ans_{model}']}."
        return Reply(
            text=str(text),
            quality=float(row[f"q_{model}"]),
            input_tokens=int(row["in_tok"]),
            output_tokens=int(row[f"out_tok_{model}"]),
        )

    def reference(self, index: int) -> str:
        """Returns the answer of a model that was right; "", which nothing agrees with, for none."""
        row = self._rows[index]
        right = (m for m in JUDGED if row[f"q_{m}"] and row[f"ans_{m}"] is not None)
        return next((str(row[f"ans_{model}"]) for model in right), "")

    def grade(self, index: int, text: str) -> float:
        """The recorded correctness of whichever model wrote this; 0 for any other text."""
        replies = (self.reply(arm, index) for arm in MODELS)
        return next((reply.quality for reply in replies if reply.text == text), 0.0)
