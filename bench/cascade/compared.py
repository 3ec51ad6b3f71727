"""What is compared: every single arm, every plan alone, the default policy among both."""

from __future__ import annotations

from collections.abc import Sequence

from bandit.policies.adaptive import NAME as ADAPTIVE
from bandit.policies.fixed import NAME as FIXED
from bench.cascade.plans import LEARNED, USUAL, PlanSpec
from bench.cascade.world import PERFECT, SINGLE, Variant

VW = {"on": (True,), "off": (False,), "both": (True, False)}


def variants_of(arms: Sequence[str], specs: Sequence[PlanSpec], vw: str) -> list[Variant]:
    """vw: on | off | both. The policy has the plan named learned, and those that were told."""
    compared = [Variant(arm, SINGLE, fixed=arm) for arm in arms]
    compared.append(Variant(PERFECT, PERFECT, (specs[0],)))
    compared += [Variant(f"{FIXED}: {s.name}", FIXED, (s,), s.name) for s in specs]
    beside = tuple(s for s in specs if s.name == LEARNED or s.name not in USUAL)
    for name, plans in (("arms", ()), ("arms and plans", beside or tuple(specs))):
        for on in VW[vw]:
            said = f"{ADAPTIVE}: {name}" + ("" if on else ", no VW")
            compared.append(Variant(said, ADAPTIVE, plans, vw=on))
    return compared
