"""The sampler notes of a prompt only what is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from router.domain.errors import StorageUnavailable
from router.domain.records import Choice, LoggedContext, WeightSet
from router.ports.observer import Observer
from router.ports.survey import EmbeddingSample, PromptSample, Sighting
from router.runtime.background import Background
from router.serving.sampling import (
    HEAD_CHARS,
    MAX_CHARS,
    MOST_AT_ONCE,
    MOST_TERMS,
    PromptSampler,
    PromptSamplerSettings,
    terms_of,
    words,
)

CONTEXT = LoggedContext((0.1, 0.7, 0.2), (0.5,), (0.25, -1.0), "v1")
CHOICE = Choice(
    plan="cheap",
    propensity=1.0,
    explored=False,
    probabilities=(("cheap", 1.0),),
    policy="adaptive",
    policy_version=1,
    weights=WeightSet(1, 0, 0, 0),
    context=CONTEXT,
)
VECTOR = np.linspace(-0.1, 0.1, 16, dtype=np.float32)
ALL = PromptSamplerSettings(terms=True, sample_embeddings=10, sample_prompts=5)


class CountingObserver(Observer):
    def __init__(self) -> None:
        self.lost: list[str] = []

    def degraded(self, what: str) -> None:
        self.lost.append(what)


@dataclass
class ListSurvey:
    """A `router.ports.survey.Survey` that keeps everything, once `gate` is open."""

    sightings: list[Sighting] = field(default_factory=list)
    vectors: list[tuple[EmbeddingSample, int, float]] = field(default_factory=list)
    heads: list[tuple[PromptSample, int, float]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    away: bool = False

    async def count(self, sighting: Sighting) -> None:
        await self.gate.wait()
        if self.away:
            raise StorageUnavailable("away")
        self.sightings.append(sighting)

    async def terms(self, version: str, clusters: int) -> Mapping[int, Mapping[str, int]]:
        raise NotImplementedError

    async def keep_embedding(self, sample: EmbeddingSample, most: int, draw: float) -> None:
        self.vectors.append((sample, most, draw))

    async def keep_prompt(self, sample: PromptSample, most: int, draw: float) -> None:
        self.heads.append((sample, most, draw))

    async def embeddings(self) -> Sequence[EmbeddingSample]:
        raise NotImplementedError

    async def prompts(self) -> Sequence[PromptSample]:
        raise NotImplementedError


@dataclass
class Stage:
    survey: ListSurvey
    observer: CountingObserver
    background: Background

    def surveyor(self, settings: PromptSamplerSettings) -> PromptSampler:
        draws: Iterator[float] = iter(n / 1_000 for n in range(1_000))
        return PromptSampler(
            survey=self.survey,
            background=self.background,
            draw=lambda: next(draws),
            settings=settings,
        )


@pytest.fixture
async def stage() -> Stage:
    survey, observer = ListSurvey(), CountingObserver()
    survey.gate.set()
    return Stage(survey, observer, Background(observer))


async def test_sampler_notes_everything_that_is_wanted(stage: Stage) -> None:
    stage.surveyor(ALL).note("Add the fractions 1/2 and 1/3.", CHOICE, VECTOR)
    await stage.background.drain()
    (sighting,) = stage.survey.sightings
    assert (sighting.version, sighting.cluster, sighting.terms) == ("v1", 1, ("add", "fractions"))
    ((sample, most, draw),) = stage.survey.vectors
    assert (sample.version, sample.features, most, draw) == ("v1", (0.25, -1.0), 10, 0.0)
    np.testing.assert_allclose(sample.embedding(), VECTOR, atol=sample.step)
    ((head, places, _),) = stage.survey.heads
    assert (head.cluster, head.head, places) == (1, "Add the fractions 1/2 and 1/3.", 5)


@pytest.mark.parametrize("settings", [PromptSamplerSettings(), PromptSamplerSettings(terms=True)])
async def test_sampler_notes_nothing_that_is_not_wanted(
    stage: Stage, settings: PromptSamplerSettings
) -> None:
    stage.surveyor(settings).note("Add the fractions.", CHOICE, VECTOR)
    await stage.background.drain()
    assert len(stage.survey.sightings) == settings.terms
    assert (stage.survey.vectors, stage.survey.heads) == ([], [])


async def test_sampler_notes_nothing_when_nothing_was_chosen(stage: Stage) -> None:
    surveyor = stage.surveyor(ALL)
    surveyor.note("Add the fractions.", None, VECTOR)
    surveyor.note("Add the fractions.", CHOICE, None)
    await stage.background.drain()
    assert stage.survey.sightings == []


async def test_sampler_keeps_the_group_when_a_prompt_is_sent_again(stage: Stage) -> None:
    surveyor = stage.surveyor(PromptSamplerSettings(terms=True))
    for text in ("Add  fractions", "add fractions", "ADD\nFRACTIONS "):
        surveyor.note(text, CHOICE, VECTOR)
    for n in range(40):
        surveyor.note(f"add fractions {n}", CHOICE, VECTOR)
    await stage.background.drain()
    groups = [sighting.group for sighting in stage.survey.sightings]
    assert len(set(groups[:3])) == 1
    assert len(set(groups)) > 15
    assert max(groups) < 32


async def test_sampler_keeps_the_beginning_of_long_prompts(stage: Stage) -> None:
    stage.surveyor(ALL).note("word\n" * 1_000_000, CHOICE, VECTOR)
    await stage.background.drain()
    ((sample, _, _),) = stage.survey.heads
    assert len(sample.head) == HEAD_CHARS
    assert "\n" not in sample.head


async def test_sampler_drops_notes_when_the_store_hangs(stage: Stage) -> None:
    stage.survey.gate.clear()
    surveyor = stage.surveyor(PromptSamplerSettings(terms=True))
    for n in range(3 * MOST_AT_ONCE):
        surveyor.note(f"fractions {n}", CHOICE, VECTOR)
    stage.survey.gate.set()
    await stage.background.drain()
    assert len(stage.survey.sightings) == MOST_AT_ONCE
    surveyor.note("fractions once more", CHOICE, VECTOR)
    await stage.background.drain()
    assert len(stage.survey.sightings) == MOST_AT_ONCE + 1


async def test_sampler_counts_a_store_that_is_away(stage: Stage) -> None:
    stage.survey.away = True
    surveyor = stage.surveyor(PromptSamplerSettings(terms=True))
    for n in range(2 * MOST_AT_ONCE):
        surveyor.note(f"fractions {n}", CHOICE, VECTOR)
        await stage.background.drain()
    assert stage.observer.lost == ["background_storage_unavailable"] * 2 * MOST_AT_ONCE


def test_embedding_sample_is_a_quarter_of_the_vector_and_nearly_the_same() -> None:
    rng = np.random.default_rng(0)
    vector = rng.normal(size=384).astype(np.float32)
    vector /= np.linalg.norm(vector)
    sample = EmbeddingSample.of("v1", vector, ())
    back = sample.embedding()
    assert len(sample.vector) == 384
    assert float(vector @ back / np.linalg.norm(back)) > 0.9999
    assert not EmbeddingSample.of("v1", np.zeros(4, dtype=np.float32), ()).embedding().any()
    assert "vector" not in repr(sample)
    assert replace(sample) == sample


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("What is it?", []),
        ("Fractions, FRACTIONS; fractions!", ["fractions"] * 3),
        ("call me at 555-1234 or a@b.co", ["call"]),
        ("sk3cretkey x2y abc123 user_name", ["user", "name"]),
        ("a" * 21 + " " + "b" * 20, ["b" * 20]),
        ("Größe der Häuser", ["grösse", "häuser"]),
        ("积分是什么", ["积分是什么"]),
    ],
)
def test_words_are_whole_and_of_letters(text: str, found: list[str]) -> None:
    assert words(text) == found


def test_terms_of_gives_a_bounded_number() -> None:
    text = " ".join(f"{a}{b}word" for a in "abcdefgh" for b in "ijklmnop")
    assert len(terms_of(text)) == MOST_TERMS
    assert terms_of(text) == terms_of(text)
    assert set(terms_of(text)) <= set(words(text))


def test_terms_of_draws_every_word_of_long_prompts() -> None:
    """Prompts of one template: no word is left out of all of them, and none is in all of them."""
    template = [f"{a}{b}word" for a in "abcde" for b in "fghij"]
    drawn = [terms_of(" ".join([*template, f"tail{n}"])) for n in range(200)]
    counts = {word: sum(word in terms for terms in drawn) for word in template}
    assert min(counts.values()) > 200 * MOST_TERMS / len(template) * 0.6
    assert max(counts.values()) < 200


def test_words_reads_both_ends_when_text_is_long() -> None:
    text = "begin " + "x y " * 300_000 + " ending"
    assert set(words(text)) == {"begin", "ending"}
    assert len(words("word " * 300_000)) <= MAX_CHARS // 5 + 2


def test_terms_of_survives_broken_unicode() -> None:
    assert terms_of("\ud800 lonely surrogate \x00") == ("lonely", "surrogate")
    many = "\ud800" + " ".join(f"{c}{d}lone" for c in "abcd" for d in "efgh")
    assert len(terms_of(many)) == MOST_TERMS
