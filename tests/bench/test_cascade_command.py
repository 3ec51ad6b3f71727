"""`bench cascade` on small files: what it writes, what it skips, what it refuses."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import tiny
import told
from click.testing import CliRunner, Result

from bench.experiments.cascade.command import cascade


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    told.keep_vectors()
    return tiny.write(tmp_path / "told.parquet", told.columns())


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(cascade, [str(argument) for argument in arguments])


def on(path: Path, *more: object) -> Result:
    given = ("--file", path, "--arms", "small,other,large", "--answers", "--requests", 24)
    return bench(*given, "--seeds", 1, "--vw", "off", "--lambda", 0.1, "--jobs", 1, *more)


def runs(folder: Path) -> list[dict[str, str]]:
    """Without the times, which differ from run to run."""
    with (folder / "runs.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if not k.endswith("_us")} for row in rows]


def test_tables_runs_and_pictures_are_written(path: Path, tmp_path: Path) -> None:
    done = on(path, "--out", tmp_path / "out", "--calibrate", 10, "--audit-share", 0.2)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "out" / "cascade.md").read_text(encoding="utf-8")
    assert text.strip() in done.stdout
    assert "Terms: 10 calibrated prompts; 20% of accepted cheap answers audited." in text
    assert "learned = small + other > large (learned)" in text
    variants = {row["variant"] for row in runs(tmp_path / "out")}
    assert variants >= {"small", "perfect gate", "fixed: agreement", "fixed: learned"}
    assert variants >= {"adaptive: arms, no VW", "adaptive: arms and plans, no VW"}
    assert "adaptive: plans for their arms, no VW" in variants
    assert (tmp_path / "out" / "told.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_what_comes_out_does_not_depend_on_the_number_of_processes(
    path: Path, tmp_path: Path
) -> None:
    for jobs in (1, 2):
        done = on(
            path, "--jobs", jobs, "--out", tmp_path / str(jobs), "--seeds", 2, "--only", "fixed: a"
        )
        assert done.exit_code == 0, done.output
    assert runs(tmp_path / "1") == runs(tmp_path / "2")


def test_a_plan_of_ones_own_stands_beside_the_usual(path: Path, tmp_path: Path) -> None:
    done = on(path, "--plan", "mine=other>large:rules", "--only", "mine", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    mine = [r for r in runs(tmp_path / "out") if r["variant"] == "fixed: mine"]
    assert len(mine) == 1
    assert "mine = other > large (rules)" in done.stdout


def test_places_can_be_told(path: Path, tmp_path: Path) -> None:
    done = on(
        path, "--first", "other", "--strong", "small", "--only", "rules", "--out", tmp_path / "out"
    )
    assert "rules = other > small (rules)" in done.stdout


def test_a_dearer_arm_is_charged_more(path: Path, tmp_path: Path) -> None:
    cost = []
    for factor in (1, 3):
        more = ("--cost-factor", f"large={factor}", "--cost-unit-usd", 0.002, "--only", "large")
        assert on(path, *more, "--out", tmp_path / "out").exit_code == 0
        rows = [r for r in runs(tmp_path / "out") if r["variant"] == "large"]
        cost.append(sum(float(r["cost_usd"]) for r in rows))
    assert cost[1] == pytest.approx(3 * cost[0])


def test_without_answers_only_outcomes_are_replayed(path: Path, tmp_path: Path) -> None:
    bare = {k: v for k, v in told.columns().items() if not k.startswith(("ans_", "text_"))}
    other = tiny.write(path, bare)
    refused = on(other, "--out", tmp_path / "out")
    assert refused.exit_code == 2
    assert "no column text_small or ans_small" in refused.stderr
    done = on(other, "--no-answers", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "fixed: agreement" not in done.stdout
    assert "fixed: rules" in done.stdout


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--plan", "mine"), "is not NAME=FIRST[+SECOND]>STRONG[:GATE]"),
        (("--plan", "mine=small>huge"), "names no arm 'huge'; choose: "),
        (("--plan", "mine=small+small>large"), "names an arm twice"),
        (("--plan", "mine=small>large:oracle"), "no gate 'oracle'; choose: "),
        (("--plan", "mine=small>large:agreement"), "name the arm that is asked"),
        (("--plan", "mine=small+other>large:rules"), "nobody is asked there"),
        (("--plan", "small=small>large"), "choose another name"),
        (("--plan", "rules=small>large"), "a plan's name is taken"),
        (("--plan", "a b=small>large"), "plans.a b"),
        (("--no-answers", "--plan", "mine=small>large"), "use gate rules"),
        (("--first", "huge"), "names no arm 'huge'"),
        (("--first", "small", "--strong", "small"), "names an arm twice"),
        (("--cost-factor", "huge=3"), "names no arm 'huge'"),
        (("--cost-factor", "large=x"), "is not ARM=FACTOR"),
        (("--cost-factor", "large=0"), "finite number > 0"),
        (("--only", "nothing"), "no variant's name holds nothing"),
        (("--where", "kind==odd"), "no row of told.parquet fits"),
        (("--calibrate", "1000"), "fewer with --requests or --calibrate"),
        (("--arms", "small"), "name two or more"),
        (("--arms", "small,tiny"), "choose --arms from: large, other, small"),
        (("--prompt-column", "text"), "choose --prompt-column from"),
    ],
)
def test_what_cannot_be_run_is_refused_with_a_fix(
    path: Path, more: tuple[str, ...], said: str
) -> None:
    done = on(path, *more)
    assert done.exit_code == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("text_small", [3] * told.ROWS, "answers of small that are no text"),
        ("q_small", [1.5] * told.ROWS, "a quality outside [0, 1]"),
        ("c_small", [-1.0] * told.ROWS, "a negative cost"),
    ],
)
def test_a_file_with_odd_values_is_refused(
    path: Path, column: str, values: list[Any], said: str
) -> None:
    done = on(tiny.write(path, told.columns() | {column: values}))
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_file_that_is_none_is_refused(path: Path) -> None:
    assert "there is no file" in on(path.with_name("other.parquet")).stderr
    path.write_bytes(b"no parquet")
    assert "not a parquet file" in on(path).stderr


def test_a_recorded_set_that_is_not_here_is_skipped(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTER_DATA_DIR", str(path.parent / "nowhere"))
    done = bench("--quick")
    assert done.exit_code == 0
    assert "skipped" in done.stderr
    assert "go with --file" in bench("--arms", "a,b").stderr
