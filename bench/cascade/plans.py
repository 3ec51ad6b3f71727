"""Which plans stand beside the single arms: told, or made from prices."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bandit.gates import GATE_NAMES
from bench.routing.errors import BenchError

LEARNED, AGREEMENT, RULES = "learned", "agreement", "rules"
ALONE: Final = "learned-alone"
USUAL: Final = (RULES, ALONE, AGREEMENT, LEARNED)
CHEAP_SHARE: Final = 0.1
"""An arm stands in front when it costs at most this much of the strong one."""
_SPEC: Final = re.compile(r"([^+>:]+)(?:\+([^+>:]+))?>([^+>:]+)(?::([^+>:]+))?")


@dataclass(frozen=True, slots=True)
class Trio:
    """second: "" for none."""

    first: str
    second: str
    strong: str


@dataclass(frozen=True, slots=True)
class PlanSpec:
    """As in the config: first -> gate -> strong, with a second arm that the gate may ask."""

    name: str
    first: str
    strong: str
    second: str = ""
    gate: str = LEARNED

    def __str__(self) -> str:
        second = f" + {self.second}" if self.second else ""
        return f"{self.name} = {self.first}{second} > {self.strong} ({self.gate})"

    def section(self) -> dict[str, Any]:
        return {"rungs": [self.first, self.strong], "second": self.second, "gate": self.gate}


def parsed(given: str, arms: Sequence[str]) -> PlanSpec:
    """Of NAME=FIRST[+SECOND]>STRONG[:GATE]. Raises BenchError."""
    name, _, text = given.partition("=")
    found = _SPEC.fullmatch(text)
    if not name or found is None:
        raise BenchError(
            f"--plan {given!r} is not NAME=FIRST[+SECOND]>STRONG[:GATE], as in checked=a+b>c"
        )
    first, second, strong, gate = (part or "" for part in found.groups())
    spec = PlanSpec(name, first, strong, second, gate or LEARNED)
    check_arms([a for a in (first, second, strong) if a], arms, f"--plan {name}")
    if spec.gate not in GATE_NAMES:
        raise BenchError(f"--plan {name} names no gate {gate!r}; choose: {', '.join(GATE_NAMES)}")
    if bool(second) != (spec.gate == AGREEMENT) and spec.gate != LEARNED:
        fix = "name the arm that is asked" if not second else "nobody is asked there"
        raise BenchError(f"--plan {name}: FIRST+SECOND and gate {spec.gate} do not go: {fix}")
    if name in arms:
        raise BenchError(f"--plan {name} is named as an arm is; choose another name")
    return spec


def check_arms(named: Sequence[str], arms: Sequence[str], where: str) -> None:
    """Raises BenchError."""
    for arm in named:
        if arm not in arms:
            raise BenchError(f"{where} names no arm {arm!r}; choose: {', '.join(arms)}")
    if len(set(named)) < len(named):
        raise BenchError(f"{where} names an arm twice; first, second and strong differ")


def usual(trio: Trio, *, read: bool) -> list[PlanSpec]:
    """The plans compared where none was told; read: answers are there to be read."""
    first, second, strong = trio.first, trio.second, trio.strong
    specs = [PlanSpec(RULES, first, strong, gate=RULES)]
    if not read:
        return specs
    specs.append(PlanSpec(ALONE, first, strong, gate=LEARNED))
    if second:
        specs.append(PlanSpec(AGREEMENT, first, strong, second, AGREEMENT))
        specs.append(PlanSpec(LEARNED, first, strong, second, LEARNED))
    return specs


@dataclass(frozen=True, slots=True)
class Wanted:
    """Arms that were told for a place; "" for any."""

    first: str = ""
    second: str = ""
    strong: str = ""


def by_price(arms: Sequence[str], typical_usd: Sequence[float], wanted: Wanted) -> Trio:
    """Before anything is known of quality, dear stands for good.

    Strong: the dearest. First: the dearest of those that cost at most a tenth of it, else the
    cheapest. Second: the cheapest of the others, if it is as cheap as that.
    """
    by_cost = [arms[i] for i in np.argsort(typical_usd, kind="stable")]
    usd = dict(zip(arms, typical_usd, strict=True))
    free = [arm for arm in by_cost if arm not in (wanted.first, wanted.second, wanted.strong)]
    strong = wanted.strong or free.pop()
    cheap = [arm for arm in free if usd[arm] <= CHEAP_SHARE * usd[strong]]
    first = wanted.first or (cheap or free)[-1 if cheap else 0]
    others = [arm for arm in cheap if arm != first]
    return Trio(first, wanted.second or (others[0] if others else ""), strong)
