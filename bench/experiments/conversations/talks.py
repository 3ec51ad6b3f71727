"""Conversations drawn from recorded rows: whose turn it is, and how much stands before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.experiments.conversations.terms import Terms
from bench.lab.recorded import BenchError, Recorded, Rows

Numbers = NDArray[np.float64]
BYTES_PER_TOKEN: Final = 4
DRAWN: Final = 9


@dataclass(frozen=True, slots=True)
class Talks:
    """n turns, one conversation after the other.

    conversation, turn, row: (n,), the turn counted from 0. tokens: (n,) of input. at_s: (n,) since
    the conversation began. task: (n,), the same all through a conversation.
    """

    conversation: Rows
    turn: Rows
    row: Rows
    tokens: Numbers
    at_s: Numbers
    task: Rows
    attached: Numbers

    def __len__(self) -> int:
        return len(self.row)


def tasks_of(data: Recorded, column: str) -> Rows:
    """Returns each row's task as a number. Raises BenchError."""
    names = data.columns.column_names
    if column not in names:
        raise BenchError(f"there is no column {column!r}; choose --task-column from: {names}")
    values = [str(value) for value in data.columns.column(column).to_pylist()]
    return np.unique(values, return_inverse=True)[1].astype(np.intp)


def question_tokens(data: Recorded) -> Numbers:
    """Returns tokens of every prompt: recorded ones, or else by its bytes."""
    if "in_tok" in data.columns.column_names:
        recorded = data.columns.column("in_tok").cast(pa.float64())
        return np.asarray(recorded.to_numpy(), dtype=np.float64)
    sizes = [len(prompt.encode(errors="replace")) for prompt in data.prompts]
    return np.array(sizes, dtype=np.float64) / BYTES_PER_TOKEN


def draw_talks(
    rows: Rows, tasks: Rows, question: Numbers, terms: Terms, *, turns: int, seed: int
) -> Talks:
    """Draw conversations of one task each until there are `turns`; the last one is cut.

    rows: of the recorded set that may be asked. tasks, question: of every recorded row.
    """
    rng = np.random.default_rng([seed, DRAWN])
    pools = [rows[tasks[rows] == task] for task in np.unique(tasks[rows])]
    share = np.array([len(pool) for pool in pools]) / len(rows)
    lengths: list[int] = []
    asked, attached = [], []
    while sum(lengths) < turns:
        lengths.append(int(rng.geometric(1 / terms.turns)))
        asked.append(rng.choice(pools[int(rng.choice(len(pools), p=share))], lengths[-1]))
        brings = terms.attached and rng.random() < terms.attached_share
        attached.append(float(rng.integers(0, terms.attached, endpoint=True)) if brings else 0.0)
    row = np.concatenate(asked)[:turns]
    turn = np.concatenate([np.arange(length) for length in lengths])[:turns]
    conversation = np.repeat(np.arange(len(lengths)), lengths)[:turns]
    before = np.array(attached)[conversation]
    return Talks(
        conversation=conversation,
        turn=turn,
        row=row,
        tokens=terms.prefix + before + terms.growth * turn + question[row],
        at_s=turn * terms.gap_s,
        task=tasks[row],
        attached=before,
    )
