"""Recorded outcomes: a row per prompt, `q_<arm>` quality in [0, 1], `c_<arm>` USD; errors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench.lab.made import MadeArm, with_made

Rows = NDArray[np.intp]
QUALITY, COST = "q_", "c_"


@dataclass(frozen=True, slots=True)
class Recorded:
    """Outcomes of k arms on n prompts; quality and cost_usd are (n, k) and finite.

    columns: all columns of the rows kept. dropped: rows left out for want of an outcome.
    """

    arms: tuple[str, ...]
    prompts: tuple[str, ...]
    quality: NDArray[np.float64]
    cost_usd: NDArray[np.float64]
    columns: pa.Table
    dropped: int

    def __len__(self) -> int:
        return len(self.prompts)

    def rows_where(self, conditions: Sequence[str]) -> Rows:
        """Returns the rows for which every `column==value` or `column!=value` holds."""
        kept = np.ones(len(self), dtype=bool)
        for condition in conditions:
            kept &= _holds(self.columns, condition)
        return np.flatnonzero(kept)


def data_dir() -> Path:
    return Path(os.environ.get("ROUTER_DATA_DIR", "../shared/data"))


def read(
    path: Path,
    arms: Sequence[str],
    prompt_column: str = "prompt",
    made: Sequence[MadeArm] = (),
) -> Recorded:
    """Read the rows with an outcome of every arm. Raises DataAbsent, or BenchError.

    made: arms to make of those, behind them.
    """
    if not path.is_file():
        raise DataAbsent(f"no {path.name} in {path.parent}: set ROUTER_DATA_DIR to its directory")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError):
        raise BenchError(
            f"{path} is not a parquet file that can be read: write it as one"
        ) from None
    _check_columns(table, arms, prompt_column, path)
    quality, cost_usd = (_numbers(table, prefix, arms) for prefix in (QUALITY, COST))
    texts = table.column(prompt_column).to_pylist()
    known = np.isfinite(quality).all(axis=1) & np.isfinite(cost_usd).all(axis=1)
    rows = np.flatnonzero(known & np.array([isinstance(text, str) for text in texts], dtype=bool))
    _check_numbers(quality[rows], cost_usd[rows], path)
    columns, prompts = table.take(rows), tuple(texts[i] for i in rows)
    topics = {
        by: list(map(str, columns.column(by).to_pylist())) for by in {m.by for m in made if m.by}
    }
    names, quality, cost_usd = with_made(
        arms, quality[rows], cost_usd[rows], made, {"": prompts, **topics}
    )
    return Recorded(
        arms=names,
        prompts=prompts,
        quality=quality,
        cost_usd=cost_usd,
        columns=columns,
        dropped=len(texts) - len(rows),
    )


def _check_columns(table: pa.Table, arms: Sequence[str], prompt: str, path: Path) -> None:
    names = set(table.column_names)
    if prompt not in names:
        raise BenchError(
            f"{path.name} has no column {prompt!r} for prompts; choose --prompt-column from: "
            f"{', '.join(sorted(names))}"
        )
    there = sorted(n.removeprefix(QUALITY) for n in names if n.startswith(QUALITY))
    there = [arm for arm in there if COST + arm in names]
    missing = [arm for arm in arms if arm not in there]
    if missing or not arms:
        raise BenchError(
            f"{path.name} has no columns q_ and c_ for {', '.join(missing) or 'any arm'}; "
            f"choose --arms from: {', '.join(there) or '(none)'}"
        )
    if len(set(arms)) < len(arms):
        raise BenchError("an arm is named twice; name each once in --arms")


def _numbers(table: pa.Table, prefix: str, arms: Sequence[str]) -> NDArray[np.float64]:
    """(n, k); NaN where nothing was recorded."""
    try:
        columns = [table.column(prefix + arm).cast(pa.float64()).to_numpy() for arm in arms]
    except pa.ArrowException:
        raise BenchError(f"a column {prefix}<arm> does not hold numbers; write it anew") from None
    return np.column_stack(columns)


def _check_numbers(quality: NDArray[Any], cost_usd: NDArray[Any], path: Path) -> None:
    if not len(quality):
        raise BenchError(f"{path.name} has no row with an outcome for every arm; choose fewer")
    if quality.min() < 0 or quality.max() > 1:
        raise BenchError(f"{path.name} has a quality outside [0, 1]; scale q_<arm> to it")
    if cost_usd.min() < 0:
        raise BenchError(f"{path.name} has a negative cost; c_<arm> is USD per request")


def _holds(table: pa.Table, condition: str) -> NDArray[np.bool_]:
    equal = "==" in condition
    column, _, wanted = condition.partition("==" if equal else "!=")
    if not wanted or column not in table.column_names:
        raise BenchError(
            f"--where {condition!r} is not column==value or column!=value with one of: "
            f"{', '.join(sorted(table.column_names))}"
        )
    values = table.column(column).to_pylist()
    return np.array([(str(v).lower() == wanted.lower()) == equal for v in values], dtype=bool)


class BenchError(click.ClickException):
    """Printed without a traceback; exit status 2."""

    exit_code = 2


class DataAbsent(Exception):
    """The recorded outcomes are not on this machine."""
