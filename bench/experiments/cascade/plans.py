"""Plans beside the single arms, given or made from prices, and the variants that have them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from bandit.adaptive.policy import NAME as ADAPTIVE
from bandit.gates import GATE_NAMES
from bandit.policies.fixed import NAME as FIXED
from bench.lab.recorded import BenchError
from bench.lab.setup import PlanSpec, Variant

LEARNED, AGREEMENT, RULES = "learned", "agreement", "rules"
ALONE: Final = "learned-alone"
USUAL: Final = (RULES, ALONE, AGREEMENT, LEARNED)
SINGLE: Final = "single arm"
PERFECT: Final = "perfect gate"
"""Variants that are no policies and need no replay."""
CHEAP_SHARE: Final = 0.1
"""An arm stands in front when it costs at most this much of the strong one."""
VW: Final = {"on": (True,), "off": (False,), "both": (True, False)}
_SPEC: Final = re.compile(r"([^+>:]+)(?:\+([^+>:]+))?>([^+>:]+)(?::([^+>:]+))?")


def parsed(given: str, arms: Sequence[str]) -> PlanSpec:
    """Parse NAME=FIRST[+SECOND]>STRONG[:GATE]. Raises BenchError."""
    name, _, text = given.partition("=")
    found = _SPEC.fullmatch(text)
    if not name or found is None:
        raise BenchError(
            f"--plan {given!r} is not NAME=FIRST[+SECOND]>STRONG[:GATE], as in checked=a+b>c"
        )
    first, second, strong, gate = (part or "" for part in found.groups())
    spec = PlanSpec(name, first, strong, second, gate or LEARNED)
    check_arms((first, second, strong), arms, f"--plan {name}")
    if spec.gate not in GATE_NAMES:
        raise BenchError(f"--plan {name} names no gate {gate!r}; choose: {', '.join(GATE_NAMES)}")
    if bool(second) != (spec.gate == AGREEMENT) and spec.gate != LEARNED:
        fix = "name the arm that is asked" if not second else "nobody is asked there"
        raise BenchError(f"--plan {name}: FIRST+SECOND and gate {spec.gate} do not go: {fix}")
    if name in arms:
        raise BenchError(f"--plan {name} is named as an arm is; choose another name")
    return spec


def check_arms(given: Sequence[str], arms: Sequence[str], where: str) -> None:
    """Raises BenchError; an empty name stands for no arm."""
    named = [arm for arm in given if arm]
    for arm in named:
        if arm not in arms:
            raise BenchError(f"{where} names no arm {arm!r}; choose: {', '.join(arms)}")
    if len(set(named)) < len(named):
        raise BenchError(f"{where} names an arm twice; first, second and strong differ")


@dataclass(frozen=True, slots=True)
class Trio:
    """Arms of a plan; second: "" for none. A wish for such arms leaves "" for any."""

    first: str = ""
    second: str = ""
    strong: str = ""


def by_price(arms: Sequence[str], typical_usd: Sequence[float], wanted: Trio) -> Trio:
    """Choose arms: before anything is known of quality, dear stands for good.

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


def usual(trio: Trio, *, read: bool) -> list[PlanSpec]:
    """Returns the plans that are always compared; read: there are answers to read."""
    first, second, strong = trio.first, trio.second, trio.strong
    specs = [PlanSpec(RULES, first, strong, gate=RULES)]
    if not read:
        return specs
    specs.append(PlanSpec(ALONE, first, strong, gate=LEARNED))
    if second:
        specs.append(PlanSpec(AGREEMENT, first, strong, second, AGREEMENT))
        specs.append(PlanSpec(LEARNED, first, strong, second, LEARNED))
    return specs


def variants_of(
    arms: Sequence[str], specs: Sequence[PlanSpec], vw: str, options: Mapping[str, Any]
) -> list[Variant]:
    """Returns every single arm, every plan alone, and the default policy among both.

    The policy has the plan named learned, and those that were given. Plans for their arms is the
    service's default: an arm that a plan with a learned gate calls cannot be had alone, for a gate
    that accepts at once, or escalates at once, is as good.

    vw: on | off | both. options: of the config's `policy` section, for every policy.
    """
    compared = [Variant(arm, SINGLE) for arm in arms]
    compared.append(Variant(PERFECT, PERFECT, plans=tuple(specs[:1])))
    compared += [plan_alone(spec, options) for spec in specs]
    beside = tuple(s for s in specs if s.name == LEARNED or s.name not in USUAL) or tuple(specs)
    menus: tuple[tuple[str, tuple[PlanSpec, ...], str], ...] = (
        ("arms", (), "offered"),
        ("arms and plans", beside, "offered"),
        ("plans for their arms", beside, "spare"),
    )
    for name, plans, covered in menus:
        base = Variant(
            f"{ADAPTIVE}: {name}", ADAPTIVE, None, {**options, "covered_arms": covered}, plans
        )
        for on in VW[vw]:
            compared.append(base if on else replace(base, name=f"{base.name}, no VW", vw=False))
    return compared


def plan_alone(spec: PlanSpec, options: Mapping[str, Any]) -> Variant:
    """Returns the policy that always takes one plan."""
    return Variant(
        f"{FIXED}: {spec.name}", FIXED, options={**options, FIXED: spec.name}, plans=(spec,)
    )
