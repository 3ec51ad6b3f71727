"""`scripts/bench context`: what earlier turns, the system prompt and the application tell."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import click
import numpy as np
from numpy.typing import NDArray

from bandit.types import Context, Vector
from bench.lab import options
from bench.lab.embeddings import MapWithContexts
from bench.lab.figures import outcomes, second_half
from bench.lab.jobs import Job, ReplayFactory, replay_all, run_stream
from bench.lab.provider import chat_of
from bench.lab.recorded import Recorded
from bench.lab.report import document, table, write
from bench.lab.setup import Texts, Variant
from bench.lab.streams import (
    SHORT_STREAMS,
    Split,
    Stream,
    draw,
    known_streams,
    load_available,
    shortened,
)
from router.domain.chat import ChatRequest, Message, Role, TextPart
from router.domain.logged_context import WEIGHTS, SaidWeights, blended, facts_of, said_in

STREAMS: Final = ("routellm_pair", "paretobandit_k4-4arms")
SEEDS, QUICK_SEEDS, QUICK_REQUESTS = 10, 2, 600
EMPTY: Final = (
    *("yes, please", "continue", "ok go on", "translate that", "Sure, do that.", "And now?"),
    *("thanks, go ahead", "ja bitte", "tell me more", "もっと教えて", "make it shorter"),
)
ANSWER: Final = "I can look into that. Shall I go on?"
GENERIC: Final = (
    "You are a helpful assistant. Answer the user's questions truthfully and politely. If you do "
    "not know the answer, say so. Use plain language, keep to the point, and format lists as lists."
)
TOPICS: Final = ("subject", "source")
"""Columns that tell the task of a row; the first that a set has is taken."""
KINDS: Final = 40
"""Applications that a made set draws from, where they tell nothing and where they tell all."""
NOTE: Final = (
    "Recorded prompts as parts of conversations. *plain*: the question alone. *earlier*: the "
    "question, then a message without content. *topic*, *stray*: another question of the same "
    "task, or any other, was asked before. *generic*: a system prompt that fits everything. *raw*: "
    "the user message is what a question is about, without the question; *system*: a system prompt "
    "tells its task. Applications: the *task* of a row, one that tells the best arm of the row "
    "(*all*), or *nothing* at all. *gain*: reward less that of the best single arm."
)


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Form:
    """How a recorded prompt is asked, and what is known of who asks: "", task, all or nothing."""

    chat: str
    application: str = ""

    def __str__(self) -> str:
        return f"{self.chat}, {self.application}" if self.application else self.chat


FORMS: Final = tuple(
    Form(*pair)
    for pair in (
        *(("plain",), ("earlier",), ("topic",), ("stray",), ("generic",), ("raw",), ("system",)),
        *(("plain", "task"), ("plain", "all"), ("plain", "nothing")),
        *(("raw", "task"), ("system", "task")),
    )
)


@dataclass(frozen=True, slots=True)
class ContextJob(Job):
    form: Form = FORMS[0]
    weights: SaidWeights = WEIGHTS


HEADER: Final = (
    *("stream", "λ", "form", "policy", "weights"),
    *("gain", "second half", "worst", "seeds", "µs"),
)

FITTED: Final = Variant("fitted", "adaptive", vw=False)
"""A ridge regression on all outcomes of the first half: it tells contexts apart with less noise."""
RIDGE: Final = 20.0


@click.command("context")
@click.option("--stream", "names", multiple=True, type=click.Choice(tuple(SHORT_STREAMS)))
@click.option(
    "--form", "forms", multiple=True, type=click.Choice([str(f) for f in FORMS]), help="[all]"
)
@options.cost_weights(0.1)
@options.seeds("[10, quick: 2]")
@click.option("--requests", type=click.IntRange(10), help="at most, per stream")
@click.option("--quick", is_flag=True, help="600 requests, two seeds")
@options.vw("both")
@click.option("--first-seed", default=0, show_default=True, help="others tune, these report")
@click.option("--enough", default=(WEIGHTS.enough,), type=int, multiple=True, show_default=True)
@click.option("--own", default=(WEIGHTS.own,), type=float, multiple=True, show_default=True)
@click.option("--system", default=(WEIGHTS.system,), type=float, multiple=True, show_default=True)
@click.option("--validation", is_flag=True, help="the split that weights are chosen on")
@click.option("--fitted", is_flag=True, help="no policy: a regression on all outcomes")
@options.JOBS
@options.out("bench-results/context.md", file=True)
def context(**given: Any) -> None:
    """What earlier turns, the system prompt and the application tell, with and without VW."""
    seeds = given["seeds"] or (QUICK_SEEDS if given["quick"] else SEEDS)
    requests = given["requests"] or (QUICK_REQUESTS if given["quick"] else None)
    streams = _streams(given["names"] or STREAMS, requests, validation=given["validation"])
    forms = [form for form in FORMS if str(form) in given["forms"]] or FORMS
    weights = [
        SaidWeights(enough, own, system)
        for enough in given["enough"]
        for own in given["own"]
        for system in given["system"]
    ]
    kinds = [
        _variant(vw=vw) for vw in {"on": [True], "off": [False]}.get(given["vw"], [True, False])
    ]
    kinds = [FITTED] if given["fitted"] else kinds
    todo = [
        ContextJob(name, cost, i, kind, seed, form, one)
        for name in streams
        for seed in range(given["first_seed"], given["first_seed"] + seeds)
        for cost in given["cost_weights"]
        for i, one in enumerate(weights)
        for form in forms
        for kind in kinds
    ]
    if not todo:
        return
    jobs = given["jobs"] or len(os.sched_getaffinity(0))
    done = replay_all(ContextReplays, todo, jobs, streams, texts=_texts(streams, todo))
    text = markdown(done)
    click.echo(text)
    write(given["out"].parent, {given["out"].name: text})


def _variant(*, vw: bool) -> Variant:
    return Variant("adaptive" if vw else "adaptive, no VW", "adaptive", vw=vw)


def _streams(
    names: Sequence[str], requests: int | None, *, validation: bool
) -> Mapping[str, Stream]:
    known = known_streams()
    specs = [replace(known[SHORT_STREAMS[name]], name=name) for name in names]
    if validation:
        specs = [
            replace(s, where=s.held_out or s.where, held_out=s.held_out and s.where) for s in specs
        ]
    return load_available([shortened(spec, requests) for spec in specs])


def _texts(streams: Mapping[str, Stream], todo: Sequence[ContextJob]) -> list[str]:
    """Returns every text that a conversation of these jobs is made of."""
    found: dict[str, None] = {}
    for name, seed, chat in dict.fromkeys((j.stream, j.seed, j.form.chat) for j in todo):
        split = draw(streams[name], seed)
        made = MadeConversations(streams[name], split, seed, Form(chat))
        for row in split.rows.tolist():
            found |= dict.fromkeys(text for text, _ in said_in(made.chat(row)))
    return list(found)


class MadeConversations:
    """Makes a conversation of each row; the same for the same seed."""

    def __init__(self, stream: Stream, split: Split, seed: int, form: Form) -> None:
        self._data: Recorded = stream.data
        self._form = form
        self._rng = np.random.default_rng([seed, 7])
        self._topics = _topics(stream)
        self._others: list[int] = split.held_out.tolist()
        self._peers: dict[str, list[int]] = {}
        for row in self._others:
            self._peers.setdefault(self._topics[row], []).append(row)
        self._best = outcomes(stream, np.arange(len(stream.data)), 0.1).reward.argmax(axis=1)
        self._drawn: dict[int, list[float]] = {
            row: self._rng.random(3).tolist() for row in split.rows.tolist()
        }

    def chat(self, row: int) -> ChatRequest:
        prompt = self._data.prompts[row]
        made: Mapping[str, Callable[[], list[Message]]] = {
            "plain": lambda: [_user(prompt)],
            "earlier": lambda: [_user(prompt), _answer(), _user(self._pick(EMPTY, row))],
            "topic": lambda: [_user(self._peer(row)), _answer(), _user(prompt)],
            "stray": lambda: [_user(self._stray(row)), _answer(), _user(prompt)],
            "generic": lambda: [_system(GENERIC), _user(prompt)],
            "raw": lambda: [_user(raw(prompt))],
            "system": lambda: [_system(_task(self._topics[row])), _user(raw(prompt))],
        }
        return replace(chat_of(prompt, row), messages=tuple(made[self._form.chat]()))

    def application(self, row: int) -> str:
        kind = self._form.application
        drawn = int(self._drawn[row][1] * KINDS)
        label = {
            "": "",
            "task": self._topics[row],
            "all": f"{self._best[row]}-{drawn}",
            "nothing": f"{drawn}",
        }[kind]
        return _digest(label) if label else ""

    def _peer(self, row: int) -> str:
        rows = self._peers.get(self._topics[row], self._others)
        return self._data.prompts[self._pick(rows, row)]

    def _stray(self, row: int) -> str:
        return self._data.prompts[self._pick(self._others, row)]

    def _pick(self, among: Sequence[T], row: int) -> T:
        return among[int(self._drawn[row][0] * len(among))]


def _topics(stream: Stream) -> list[str]:
    columns = stream.data.columns
    name = next((n for n in TOPICS if n in columns.column_names), "")
    return (
        [str(topic) for topic in columns.column(name).to_pylist()]
        if name
        else [""] * len(stream.data)
    )


def _digest(label: str) -> str:
    return hashlib.blake2b(label.encode(), digest_size=8).hexdigest()


def raw(prompt: str) -> str:
    r"""Returns what is left of a question without its first line, or without its first half.

    >>> raw("Which is it?\nA. one\nB. two"), raw("a b c d")
    ('A. one\nB. two', 'c d')
    """
    _, _, rest = prompt.partition("\n")
    words = prompt.split(" ")
    return rest or " ".join(words[len(words) // 2 :])


def _task(topic: str) -> str:
    name = topic.replace("_", " ").replace("/", ", ")
    return f"You are an expert. The texts come from tests of {name}. Work on the {name} task."


def _user(text: str) -> Message:
    return Message(Role.USER, (TextPart(text),))


def _answer() -> Message:
    return Message(Role.ASSISTANT, (TextPart(ANSWER),))


def _system(text: str) -> Message:
    return Message(Role.SYSTEM, (TextPart(text),))


class ContextReplays(ReplayFactory):
    """Replays a stream of conversations; returns the gain, of all and of the second half."""

    def run(self, job: ContextJob) -> tuple[float, float, float]:
        stream = self.material.streams[job.stream]
        split = draw(stream, job.seed)
        if job.variant == FITTED:
            return self._fitted(job, split), 0.0, 0.0
        made = asyncio.run(run_stream(self.build(job, split), split, job.seed))
        reward = outcomes(stream, split.rows, job.cost_weight).reward
        served, half = reward[np.arange(len(reward)), made.arm], second_half(len(reward))
        return _gain(served, reward), _gain(served[half], reward[half]), made.us[0]

    def _fitted(self, job: ContextJob, split: Split) -> float:
        """Returns the gain on the second half of rows, all outcomes of the first half known."""
        stream = self.material.streams[job.stream]
        mapped = self._maps.of(stream, split, self.material.embeddings[job.stream], job.seed)
        contexts = self.contexts(job, split, mapped).values()
        x = np.array([[1.0, *c.membership, *c.projection, *c.features] for c in contexts])
        reward = outcomes(stream, split.rows, job.cost_weight).reward
        half, (n, width) = second_half(len(reward)), x.shape
        known, centre = x[: half.start], reward[: half.start].mean(axis=0)
        gram = known.T @ known + RIDGE * np.eye(width)
        weights = np.linalg.solve(gram, known.T @ (reward[: half.start] - centre))
        chosen = (x[half] @ weights + centre).argmax(axis=1)
        served = reward[half][np.arange(n - half.start), chosen]
        return _gain(served, reward[half])

    def contexts(self, job: Job, split: Split, mapped: MapWithContexts) -> dict[int, Context]:
        assert isinstance(job, ContextJob)  # noqa: S101 - no others are run
        made = MadeConversations(self.material.streams[job.stream], split, job.seed, job.form)
        texts = self.material.texts
        return {
            row: _context(mapped, made.chat(row), made.application(row), texts, job.weights)
            for row in split.rows.tolist()
        }


def _context(
    mapped: MapWithContexts, chat: ChatRequest, application: str, texts: Texts, weights: SaidWeights
) -> Context:
    embedding = blended([(texts[text], weight) for text, weight in said_in(chat, weights)])
    return mapped.map.build(embedding, facts_of(chat, application))


def _gain(served: Vector, reward: NDArray[np.float64]) -> float:
    return float(served.mean() - reward.mean(axis=0).max())


def markdown(done: Mapping[ContextJob, tuple[float, float, float]]) -> str:
    groups: dict[tuple[str, ...], list[tuple[float, float, float]]] = {}
    for job, gains in done.items():
        w = job.weights
        key = (job.stream, f"{job.cost_weight:g}", str(job.form), job.variant.name)
        groups.setdefault((*key, f"{w.enough}/{w.own:g}/{w.system:g}"), []).append(gains)
    rows = [[*key, *_cells(found)] for key, found in groups.items()]
    return document("Context", NOTE, "", [table(HEADER, rows)])


def _cells(found: Sequence[tuple[float, float, float]]) -> list[str]:
    whole, half, us = zip(*found, strict=True)
    gains = [f"{gain:+.4f}" for gain in (np.mean(whole), np.mean(half), min(whole))]
    return [*gains, str(len(found)), f"{np.mean(us):.0f}"]
