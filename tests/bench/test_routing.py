"""`bench routing` on small files: what it writes, what it skips, what it refuses."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tiny
from click.testing import CliRunner, Result
from rich.progress import Progress

from bench.experiments.routing.command import routing
from bench.lab.embeddings import default_cache, embeddings, load


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    tiny.keep_vectors()
    return tiny.write(tmp_path / "recorded.parquet", tiny.columns())


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(routing, [str(argument) for argument in arguments])


def on(path: Path, *more: object) -> Result:
    given = ("--file", path, "--arms", "small,large", "--requests", 60, "--seeds", 2)
    return bench(*given, "--policy", "adaptive", "--vw", "off", *more)


def runs(folder: Path) -> list[dict[str, str]]:
    """Without the times, which differ from run to run."""
    with (folder / "runs.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if not k.endswith("_us")} for row in rows]


def test_tables_runs_and_pictures_are_written(path: Path, tmp_path: Path) -> None:
    done = on(path, "--out", tmp_path / "out", "--jobs", 1)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "out" / "routing.md").read_text(encoding="utf-8")
    assert text.strip() in done.stdout
    assert "## recorded, λ = 0.1" in text
    assert "## recorded, λ = 0.3" in text
    assert "The context map is fitted on 260 of 260 prompts beside the stream" in text
    assert len(runs(tmp_path / "out")) == 2 * 2
    assert (tmp_path / "out" / "recorded.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_what_comes_out_does_not_depend_on_the_number_of_processes(
    path: Path, tmp_path: Path
) -> None:
    more = ("--lambda", 0.1, "--calibrate", 10, "--delay", 3, "--feedback-share", 0.5)
    for jobs in (1, 2):
        done = on(path, *more, "--jobs", jobs, "--out", tmp_path / str(jobs))
        assert done.exit_code == 0, done.output
    assert runs(tmp_path / "1") == runs(tmp_path / "2")
    assert len({row["reward"] for row in runs(tmp_path / "1")}) == 2


def test_the_terms_of_the_replay_are_said(path: Path) -> None:
    more = ("--prior-factor", "large=3", "--calibrate", 10, "--set", "initial_pulls=8")
    done = on(path, *more, "--lambda", 0.1, "--jobs", 1)
    assert (
        "Terms: 10 calibrated prompts; price prior of large times 3; policy.initial_pulls = 8."
        in done.stdout
    )
    assert Path("bench-results/routing/routing.md").is_file()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--prior-factor", "huge=3"), "names no arm 'huge'; choose: "),
        (("--prior-factor", "large=x"), "is not ARM=FACTOR"),
        (("--prior-factor", "large=0"), "finite number > 0"),
        (("--set", "initial_pulls"), "is not KEY=VALUE"),
        (("--set", "no_such=1"), "policy.no_such"),
        (("--evidence", "margin"), "is not KEY=VALUE"),
        (("--evidence", "no_such=1"), "--evidence is refused"),
        (("--evidence", "margin=2"), "evidence.margin must be in [0, 1]"),
        (("--where", "kind==odd"), "no row of recorded.parquet fits"),
        (("--calibrate", "1000"), "fewer with --requests or --calibrate"),
        (("--arms", "tiny"), "choose --arms from: large, small"),
        (("--prompt-column", "text"), "choose --prompt-column from"),
    ],
)
def test_what_cannot_be_run_is_refused_with_a_fix(
    path: Path, more: tuple[str, ...], said: str
) -> None:
    done = on(path, "--jobs", 1, *more)
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_file_that_was_named_must_be_there(path: Path) -> None:
    done = on(path.with_name("other.parquet"))
    assert done.exit_code == 2
    assert "there is no file" in done.stderr


def test_options_of_a_file_without_one_are_refused() -> None:
    assert "go with --file" in bench("--arms", "a,b").stderr


def test_recorded_sets_that_are_not_here_are_skipped(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTER_DATA_DIR", str(path.parent / "nowhere"))
    done = bench("--quick")
    assert done.exit_code == 0
    assert done.stderr.count("skipped") == 2
    assert "set ROUTER_DATA_DIR" in done.stderr


def keep_pair(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a set like a known one; 30 of its prompts are of MMLU."""
    monkeypatch.setenv("ROUTER_DATA_DIR", str(path.parent))
    found = tiny.columns()
    arms = ("mixtral_8x7b", "gpt4_1106")
    for name, arm in zip(arms, tiny.ARMS, strict=True):
        found |= {f"q_{name}": found[f"q_{arm}"], f"c_{name}": found[f"c_{arm}"]}
    found |= {"contaminated": ["false"] * tiny.ROWS, "task": ["mmlu"] * 30 + ["x"] * 290}
    tiny.write(path.with_name("routellm_pair.parquet"), found)


def test_a_recorded_set_that_is_too_short_is_skipped_and_the_others_run(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_pair(path, monkeypatch)
    names = ("--stream", "routellm_mmlu-14000", "--stream", "routellm_pair-3000")
    done = bench(*names, "--calibrate", 100, "--policy", "random-mix", "--seeds", 1, "--jobs", 1)
    assert done.exit_code == 0, done.output
    assert "skipped routellm_mmlu-14000" in done.stderr
    assert "## routellm_pair-3000" in done.stdout
    assert "is the package's own" in done.stdout


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.slow
def test_what_a_stream_came_to_is_there_though_the_next_one_fails(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    keep_pair(path, monkeypatch)
    names, out = [f"routellm_pair-{n}" for n in (3000, 10000)], tmp_path / "out"
    if fails:
        (out / f"{names[1]}.png").mkdir(parents=True)
    asked = [f"--stream={name}" for name in names]
    done = bench(*asked, "--policy", "fixed", "--seeds", 1, "--jobs", 1, "--out", out)
    assert bool(done.exit_code) == fails
    text = (out / "routing.md").read_text(encoding="utf-8")
    assert ("So far: 1 of 2 streams" in text) == fails
    ended = names[:1] if fails else names
    assert [name for name in names if f"## {name}, " in text] == ended
    assert {run["stream"] for run in runs(out)} == set(ended)
    assert all((out / f"{name}.png").is_file() for name in ended)


def test_prompts_are_embedded_once(tmp_path: Path, model_dir: Path) -> None:
    assert model_dir.is_dir()
    cache = tmp_path / "deep" / "cache.npz"
    with Progress(disable=True) as progress:
        first = embeddings(["two plus two", "a poem", "two plus two"], cache, progress)
        kept = cache.stat().st_mtime_ns
        again = embeddings(["a poem"], cache, progress)
        more = embeddings(["a poem", "une question"], cache, progress)
    assert np.allclose(np.linalg.norm(first, axis=1), 1, atol=1e-5)
    assert np.array_equal(first[0], first[2])
    assert np.array_equal(again[0], first[1])
    assert np.array_equal(more[0], first[1])
    assert kept < cache.stat().st_mtime_ns
    assert len(load(cache)) == 3


def test_a_damaged_cache_is_made_anew(tmp_path: Path) -> None:
    for damage in (b"", b"PK\x03\x04 no archive", b"text"):
        (tmp_path / "cache.npz").write_bytes(damage)
        assert load(tmp_path / "cache.npz") == {}


def test_the_cache_lies_outside_the_repository() -> None:
    assert not default_cache().is_relative_to(Path(__file__).parents[2])
