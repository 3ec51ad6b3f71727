"""Reading recorded outcomes: rows that are whole, columns that are there, numbers in range."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from bench.lab.recorded import BenchError, DataAbsent, read


def test_rows_without_every_outcome_are_left_out(tmp_path: Path) -> None:
    found = tiny.columns(6)
    found["q_small"][1] = float("nan")
    found["c_large"][2] = None
    found["prompt"][4] = None
    path = tiny.write(tmp_path / "a.parquet", found)
    data = read(path, tiny.ARMS)
    assert data.prompts == ("easy prompt 0", "hard prompt 3?", "hard prompt 5?")
    assert data.dropped == 3
    assert data.quality.tolist() == [[0.9, 0.9], [0.1, 0.9], [0.1, 0.9]]
    assert data.cost_usd[:, 1].tolist() == [found["c_large"][i] for i in (0, 3, 5)]
    assert len(read(path, ["large"])) == 4


def test_rows_are_chosen_by_any_column(tmp_path: Path) -> None:
    data = read(tiny.write(tmp_path / "a.parquet", tiny.columns(8)), tiny.ARMS)
    assert data.rows_where([]).tolist() == list(range(8))
    assert data.rows_where(["kind==hard"]).tolist() == [1, 3, 5, 7]
    assert data.rows_where(["kind==HARD", "fold!=1"]).tolist() == [3, 7]


@pytest.mark.parametrize("condition", ["kind=hard", "sort==hard", "kind==", "kind"])
def test_a_condition_that_is_none_names_the_columns(tmp_path: Path, condition: str) -> None:
    data = read(tiny.write(tmp_path / "a.parquet", tiny.columns(8)), tiny.ARMS)
    with pytest.raises(BenchError, match="c_large, c_small, fold, kind"):
        data.rows_where([condition])


@pytest.mark.parametrize(
    ("arms", "prompt", "said"),
    [
        (["small", "medium"], "prompt", r"for medium; choose --arms from: large, small"),
        ([], "prompt", "for any arm"),
        (["small", "small"], "prompt", "named twice"),
        (["small"], "question", r"--prompt-column from: .*prompt"),
    ],
)
def test_a_name_that_is_not_there_is_answered_with_those_that_are(
    tmp_path: Path, arms: list[str], prompt: str, said: str
) -> None:
    path = tiny.write(tmp_path / "a.parquet", tiny.columns(8))
    with pytest.raises(BenchError, match=said):
        read(path, arms, prompt)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [("q_small", 1.5, "outside"), ("q_large", -0.1, "outside"), ("c_small", -1.0, "negative")],
)
def test_numbers_out_of_range_are_refused(
    tmp_path: Path, column: str, value: float, said: str
) -> None:
    found = tiny.columns(8)
    found[column][3] = value
    with pytest.raises(BenchError, match=said):
        read(tiny.write(tmp_path / "a.parquet", found), tiny.ARMS)


def test_words_for_numbers_are_refused(tmp_path: Path) -> None:
    found = tiny.columns(8) | {"q_small": ["good"] * 8}
    with pytest.raises(BenchError, match="does not hold numbers"):
        read(tiny.write(tmp_path / "a.parquet", found), tiny.ARMS)


def test_a_set_without_a_whole_row_is_refused(tmp_path: Path) -> None:
    found = tiny.columns(8) | {"q_small": [float("nan")] * 8}
    with pytest.raises(BenchError, match="no row"):
        read(tiny.write(tmp_path / "a.parquet", found), tiny.ARMS)


def test_what_is_not_parquet_is_refused_and_what_is_not_there_is_absent(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(DataAbsent, match="ROUTER_DATA_DIR"):
        read(path, tiny.ARMS)
    path.write_text("prompt,q_small\n")
    with pytest.raises(BenchError, match="not a parquet file"):
        read(path, tiny.ARMS)
