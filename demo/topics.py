"""One kind of prompt each: its wording, how hard it is, and what a right answer holds."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from demo.phrases import (
    ASKING,
    CITIES,
    CODING,
    FACTORS,
    FACTS,
    GAINS,
    GOODS,
    LOSSES,
    NAMES,
    NOTES,
    ORDERS,
    PHRASES,
    PLANS,
    SMALL_TALK,
    TASKS,
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """difficulty in [0, 1]. solution: what a right answer holds."""

    text: str
    topic: str
    difficulty: float
    solution: str
    wants_json: bool = False


def _fact(rng: random.Random) -> Prompt:
    question, solution = rng.choice(FACTS)
    return Prompt(question, "facts", 0.05, solution)


def _chat(rng: random.Random) -> Prompt:
    text, solution = rng.choice(SMALL_TALK)
    return Prompt(f"{rng.choice(NAMES)} here. {text}", "chat", 0.05, solution)


def _translation(rng: random.Random) -> Prompt:
    english, german = rng.choice(PHRASES)
    text = f"{rng.choice(NAMES)} asks: {rng.choice(ASKING).format(english)}"
    return Prompt(text, "translation", 0.15, german)


def _arithmetic(rng: random.Random) -> Prompt:
    """Each further step makes the story longer and the sum harder."""
    steps = rng.randint(1, 6)
    who, goods, total = rng.choice(NAMES), rng.choice(GOODS), rng.randint(5, 60)
    story = [f"{who} has {total} {goods}."]
    for _ in range(steps):
        said, total = _step(rng, total)
        story.append(said)
    story.append(f"How many {goods} does {who} have in the end?")
    return Prompt(" ".join(story), "arithmetic", 0.15 + 0.13 * steps, str(total))


def _step(rng: random.Random, total: int) -> tuple[str, int]:
    """Returns an event, and the count after it, which is never below 0."""
    kinds, amount, who = rng.choice((GAINS, FACTORS, LOSSES)), rng.randint(2, 12), rng.choice(NAMES)
    if kinds is LOSSES:
        amount = min(amount, total)
    then = {GAINS: total + amount, FACTORS: total * amount, LOSSES: total - amount}[kinds]
    return rng.choice(kinds).format(who=who, n=amount), then


def _extraction(rng: random.Random) -> Prompt:
    facts = {
        "name": rng.choice(NAMES),
        "city": rng.choice(CITIES),
        "count": rng.randint(2, 90),
        "goods": rng.choice(GOODS),
    }
    wanted = list(facts)[: rng.randint(1, 4)]
    note = rng.choice(NOTES).format(**facts)
    text = f"Extract {', '.join(wanted)} as a JSON object from this note: {note}"
    solution = json.dumps({key: facts[key] for key in wanted})
    return Prompt(text, "extraction", 0.1 + 0.08 * len(wanted), solution, wants_json=True)


def _code(rng: random.Random) -> Prompt:
    what, difficulty, solution = rng.choice(TASKS)
    name = rng.choice(("solve", "run_it", "answer", "helper", "compute", "process", "work"))
    return Prompt(rng.choice(CODING).format(name, what), "code", difficulty, solution)


def _logic(rng: random.Random) -> Prompt:
    """Who comes last: the more people, the harder."""
    people, (relation, question) = rng.sample(NAMES, rng.randint(3, 6)), rng.choice(ORDERS)
    clues = [relation.format(a=a, b=b) for a, b in pairwise(people)]
    rng.shuffle(clues)
    text = (
        "Solve this logic puzzle and explain the deduction step by step. "
        f"There are {len(people)} people. {' '.join(clues)} {question}"
    )
    return Prompt(text, "logic", 0.35 + 0.1 * len(people), people[-1])


def _planning(rng: random.Random) -> Prompt:
    cities = rng.sample(CITIES, rng.randint(3, 5))
    text = rng.choice(PLANS).format(all=", ".join(cities), first=cities[0])
    return Prompt(text, "planning", 0.5 + 0.08 * len(cities), cities[-1])


TOPICS: Sequence[Callable[[random.Random], Prompt]] = (
    *(_fact, _chat, _translation, _arithmetic, _arithmetic),
    *(_extraction, _code, _logic, _planning),
)
