"""Natural-language prompts of graded difficulty, with their answers, from a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

NAMES = ("Amara", "Bjorn", "Chen", "Dalia", "Emeka", "Farah", "Goran", "Hana", "Ivo", "Jun")
GOODS = ("apples", "notebooks", "tickets", "lamps", "stamps", "bricks", "candles", "chairs")
CITIES = ("Lagos", "Oslo", "Quito", "Hanoi", "Turin", "Perth", "Dakar", "Lyon", "Pune", "Riga")
FACTS = (
    ("What is the capital of Norway?", "Oslo"),
    ("Which planet is closest to the sun?", "Mercury"),
    ("Who wrote the novel Pride and Prejudice?", "Jane Austen"),
    ("What gas do plants take in for photosynthesis?", "carbon dioxide"),
    ("Which metal is liquid at room temperature?", "mercury"),
    ("What is the largest ocean on Earth?", "the Pacific"),
    ("In which country is the city of Timbuktu?", "Mali"),
    ("How many legs does a spider have?", "eight"),
)
WORDS = (
    ("good morning", "guten Morgen"),
    ("thank you very much", "vielen Dank"),
    ("where is the station", "wo ist der Bahnhof"),
    ("I would like a coffee", "ich möchte einen Kaffee"),
    ("the weather is beautiful today", "das Wetter ist heute schön"),
)
OPENINGS = ("", "Quick question: ", "Hi! ", "Please help me. ", "For a colleague: ", "One more: ")
CLOSINGS = ("", " Thanks.", " Keep it short.", " I need this for a report.", " Be precise.")


@dataclass(frozen=True, slots=True)
class Prompt:
    """difficulty in [0, 1]. solution: what a right answer holds."""

    text: str
    topic: str
    difficulty: float
    solution: str
    wants_json: bool = False


def make_prompts(count: int, seed: int) -> list[Prompt]:
    """`count` prompts, all with different texts."""
    rng = random.Random(seed)
    prompts: dict[str, Prompt] = {}
    while len(prompts) < count:
        prompt = rng.choice(TOPICS)(rng)
        text = rng.choice(OPENINGS) + prompt.text + rng.choice(CLOSINGS)
        number = f" (request {len(prompts) + 1})" if text in prompts else ""
        whole = Prompt(
            text + number, prompt.topic, prompt.difficulty, prompt.solution, prompt.wants_json
        )
        prompts[whole.text] = whole
    return list(prompts.values())


def _fact(rng: random.Random) -> Prompt:
    question, solution = rng.choice(FACTS)
    return Prompt(question, "facts", 0.05, solution)


def _translation(rng: random.Random) -> Prompt:
    english, german = rng.choice(WORDS)
    who = rng.choice(NAMES)
    return Prompt(f'{who} asks: how do you say "{english}" in German?', "translation", 0.15, german)


def _arithmetic(rng: random.Random) -> Prompt:
    """Each further step makes the story longer and the sum harder."""
    steps = rng.randint(1, 6)
    who, goods, total = rng.choice(NAMES), rng.choice(GOODS), rng.randint(5, 60)
    story = [f"{who} has {total} {goods}."]
    for _ in range(steps):
        amount = rng.randint(2, 12)
        kind = rng.randrange(3)
        if kind == 0:
            story.append(f"Then {rng.choice(NAMES)} brings {amount} more.")
            total += amount
        elif kind == 1:
            story.append(f"A friend returns every one of them {amount} times over.")
            total *= amount
        else:
            sold = min(amount, total)
            story.append(f"After that {sold} are sold.")
            total -= sold
    story.append(f"How many {goods} does {who} have in the end?")
    return Prompt(" ".join(story), "arithmetic", 0.15 + 0.13 * steps, str(total))


def _extraction(rng: random.Random) -> Prompt:
    fields = rng.randint(1, 4)
    who, city, count, goods = (
        rng.choice(NAMES),
        rng.choice(CITIES),
        rng.randint(2, 90),
        rng.choice(GOODS),
    )
    facts = {"name": who, "city": city, "count": count, "goods": goods}
    wanted = list(facts)[:fields]
    text = (
        f"Extract {', '.join(wanted)} as a JSON object from this note: "
        f"{who} from {city} ordered {count} {goods} on Tuesday."
    )
    solution = json.dumps({key: facts[key] for key in wanted})
    return Prompt(text, "extraction", 0.1 + 0.08 * fields, solution, wants_json=True)


def _code(rng: random.Random) -> Prompt:
    tasks = (
        ("returns the sum of a list", 0.2, "sum(xs)"),
        ("reverses a string", 0.2, "s[::-1]"),
        ("finds the longest increasing subsequence in O(n log n)", 0.75, "bisect_left"),
        ("merges overlapping intervals and proves the running time", 0.7, "sorted(intervals)"),
        ("implements a thread-safe LRU cache without OrderedDict", 0.85, "threading.Lock"),
    )
    what, difficulty, solution = rng.choice(tasks)
    name = rng.choice(("solve", "run_it", "answer", "helper", "compute"))
    return Prompt(f"Write a Python function {name} that {what}.", "code", difficulty, solution)


def _logic(rng: random.Random) -> Prompt:
    """Who stands where: the more people, the harder."""
    people = rng.sample(NAMES, rng.randint(3, 6))
    clues = [f"{a} stands directly left of {b}." for a, b in pairwise(people)]
    rng.shuffle(clues)
    text = (
        "Solve this logic puzzle and explain the deduction step by step. "
        f"{len(people)} people stand in a row. {' '.join(clues)} Who stands at the right end?"
    )
    return Prompt(text, "logic", 0.35 + 0.1 * len(people), people[-1])


def _planning(rng: random.Random) -> Prompt:
    cities = rng.sample(CITIES, rng.randint(3, 5))
    text = (
        f"Plan the cheapest round trip through {', '.join(cities)}, starting in {cities[0]}, "
        "given that every leg costs more on weekends; justify each choice and name the last stop."
    )
    return Prompt(text, "planning", 0.5 + 0.08 * len(cities), cities[-1])


TOPICS: Sequence[Callable[[random.Random], Prompt]] = (
    *(_fact, _translation, _arithmetic, _arithmetic),
    *(_extraction, _code, _logic, _planning),
)
