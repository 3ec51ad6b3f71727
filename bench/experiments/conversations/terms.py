"""Terms under which conversations are made, and prices of the arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.lab.recorded import BenchError


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How conversations grow, and what a cache is worth.

    turns: mean of a geometric number. growth, prefix: tokens that a turn adds, and that each
    conversation begins with. attached: tokens, up to which `attached_share` of the conversations
    bring documents along, drawn evenly. read, write: of the input price. gap_s: between two turns.
    asked_earlier: the question stands in the turn before, the last message is empty of content.
    """

    name: str
    turns: float
    growth: int
    prefix: int
    attached: int = 0
    attached_share: float = 0.5
    read: float = 0.1
    write: float = 1.0
    life_s: float = 300.0
    gap_s: float = 30.0
    asked_earlier: bool = False


CHAT: Final = Terms(name="chat", turns=6, growth=1_500, prefix=800, attached=8_000)
AGENTS: Final = Terms(name="agents", turns=30, growth=1_200, prefix=6_000, write=1.25)
TERMS: Final = {terms.name: terms for terms in (CHAT, AGENTS)}


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per million tokens; None for the share of the input price that the terms name."""

    input: float
    output: float
    cached: float | None = None
    write: float | None = None


KNOWN: Final = {
    "mixtral_8x7b": Rates(0.6, 0.6),
    "gpt4_1106": Rates(10, 30),
    "llama31_8b": Rates(0.1, 0.1),
    "mistral_large": Rates(2, 6),
    "gemini25_flash": Rates(0.3, 2.5),
    "gemini25_pro": Rates(1.25, 10),
    "gpt_4o_mini": Rates(0.15, 0.6),
    "gemini15_flash": Rates(0.075, 0.3),
    "llama31_70b": Rates(0.88, 0.88),
    "o1_mini": Rates(3, 12),
}
"""List prices of the time at which the public sets were recorded."""


def rates_of(arms: Sequence[str], given: Sequence[str]) -> dict[str, Rates]:
    """Returns every arm's rates; given: ARM=IN,OUT[,CACHED[,WRITE]]. Raises BenchError."""
    told = dict(_parsed(text, arms) for text in given)
    missing = [arm for arm in arms if arm not in told and arm not in KNOWN]
    if missing:
        raise BenchError(
            f"no price is known of {', '.join(missing)}; give --price {missing[0]}=IN,OUT in USD "
            "per million tokens"
        )
    return {arm: told.get(arm) or KNOWN[arm] for arm in arms}


def _parsed(text: str, arms: Sequence[str]) -> tuple[str, Rates]:
    arm, _, numbers = text.partition("=")
    if arm not in arms:
        raise BenchError(f"--price names no arm {arm!r}; choose: {', '.join(arms)}")
    try:
        usd = [float(number) for number in numbers.split(",")]
    except ValueError:
        usd = []
    if not 2 <= len(usd) <= 4 or not all(0 <= n < float("inf") for n in usd) or not usd[1]:  # noqa: PLR2004
        raise BenchError(f"--price {text!r} is not ARM=IN,OUT[,CACHED[,WRITE]], as in x=2,6,0.2")
    return arm, Rates(*usd)


def usd_per_token(
    arms: Sequence[str], rates: Mapping[str, Rates], terms: Terms
) -> tuple[tuple[float, float, float, float], ...]:
    """Returns input, output, cached and written rates per arm, USD per token."""
    found = []
    for arm in arms:
        rate = rates[arm]
        cached = terms.read * rate.input if rate.cached is None else rate.cached
        write = terms.write * rate.input if rate.write is None else rate.write
        found.append((rate.input / 1e6, rate.output / 1e6, cached / 1e6, write / 1e6))
    return tuple(found)
