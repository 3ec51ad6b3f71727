"""Natural-language prompts of graded difficulty, with their answers, from a seed."""

from __future__ import annotations

import random
from dataclasses import replace

from demo.phrases import CLOSINGS, OPENINGS
from demo.topics import TOPICS, Prompt

ATTEMPTS = 20


def make_prompts(count: int, seed: int) -> list[Prompt]:
    """`count` prompts, all with different texts; the first ones do not depend on `count`."""
    rng = random.Random(seed)
    prompts: dict[str, Prompt] = {}
    while len(prompts) < count:
        made = (_make(rng) for _ in range(ATTEMPTS))
        prompt = next((p for p in made if p.text not in prompts), None)
        if prompt is None:  # a world this large runs out of words
            prompt = _make(rng)
            prompt = replace(prompt, text=f"{prompt.text} (request {len(prompts) + 1})")
        prompts[prompt.text] = prompt
    return list(prompts.values())


def _make(rng: random.Random) -> Prompt:
    prompt = rng.choice(TOPICS)(rng)
    return replace(prompt, text=rng.choice(OPENINGS) + prompt.text + rng.choice(CLOSINGS))
