"""Prompts said otherwise: what each variant does, and that `bench robustness` counts them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import tiny
from click.testing import CliRunner

from bench.experiments.robustness.command import (
    ADAPTIVE,
    KeptArms,
    kept_arms,
    markdown,
    robustness,
    texts_of,
)
from bench.experiments.robustness.prompt_variants import ASKING, SUFFIXES, VARIANTS, varied
from bench.lab.jobs import Job, Material, ReplayFactory, run_stream
from bench.lab.streams import draw

TEXT = "How many apples does Anna buy each day? Explain how you calculate the total cost."


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_another_text_and_always_the_same_one(name: str) -> None:
    assert varied(TEXT, name, 0) != TEXT
    assert varied(TEXT, name, 0) == varied(TEXT, name, 0)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("text", ["", "?", "a {b} c", "1 + 1", "短い", "x" * 5_000])
def test_any_text_can_be_varied(name: str, text: str) -> None:
    assert isinstance(varied(text, name, 3), str)


def test_whitespace_keeps_the_words() -> None:
    found = {varied(TEXT, "whitespace", seed) for seed in range(5)}
    assert {" ".join(text.split()) for text in found} == {TEXT}
    assert len(found) == 5


def test_a_typo_touches_few_words() -> None:
    for seed in range(20):
        words = varied(TEXT, "typos", seed).split()
        assert len(words) == len(TEXT.split())
        assert sum(a != b for a, b in zip(words, TEXT.split(), strict=True)) <= 1


def test_a_typo_is_a_swap_a_loss_or_a_double() -> None:
    found = {varied("Anna walks", "typos", seed) for seed in range(200)}
    assert {"Anna wlaks", "Anna waks", "Anna waalks"} <= found


def test_synonyms_say_the_same_in_other_words() -> None:
    said = varied(TEXT, "synonyms", 0)
    assert said.startswith(
        "what number of apples does Anna buy every day?".replace("buy", "purchase")
    )


def test_a_plea_is_appended_only() -> None:
    found = varied(TEXT, ASKING, 0)
    assert found.startswith(TEXT)
    assert found.removeprefix(TEXT).strip() in SUFFIXES


def test_only_arms_that_stay_are_counted(tmp_path: Path) -> None:
    """A hard prompt for an easy one moves the arm; the same one leaves it."""
    stream = tiny.stream(tiny.write(tmp_path / "a.parquet", tiny.columns()), 250)
    split, vectors = draw(stream, 0), tiny.vectors()
    given = dict(texts_of(stream, split, 40, 0))
    plain = vectors[split.rows[-40:]]
    others = (split.rows[-40:] + 1) % len(vectors)
    texts = {
        "": (given[""], plain),
        "same": (given[""], plain),
        "opposite": ([stream.data.prompts[row] for row in others], vectors[others]),
    }
    job = Job("tiny", 0.3, 0, ADAPTIVE, 0)
    replay = ReplayFactory(Material({"tiny": stream}, {"tiny": vectors})).build(job, split)
    asyncio.run(run_stream(replay, split, 0))
    found = kept_arms(job, replay, texts)
    assert found.prompts == 40
    assert found.largest < 0.8
    assert found.same["same"] == 1
    assert found.same["opposite"] < 0.3


def test_marks_that_are_missed_stand_out() -> None:
    same = dict.fromkeys(VARIANTS, 0.93)
    text = markdown([KeptArms("s", 0.1, 100, 0.6, same | {"typos": 0.8})])
    assert "| s | 0.1 | 100 | 60% | 93.0% | 93.0% | 93.0% | **80.0%** |" in text
    assert text.rstrip().endswith("**93.0%** |")


def test_sets_that_are_not_here_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTER_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(robustness, ["--quick"])
    assert done.exit_code == 0
    assert "skipped routellm_pair" in done.stderr
    assert np.array_equal(list(tmp_path.iterdir()), [])
