"""What is compared: every single arm, every plan alone, the default policy among both."""

from __future__ import annotations

from collections.abc import Sequence

from bandit.adaptive.policy import NAME as ADAPTIVE
from bandit.policies.fixed import NAME as FIXED
from bench.cascade.plans import LEARNED, USUAL, PlanSpec
from bench.cascade.world import PERFECT, SINGLE, Variant

VW = {"on": (True,), "off": (False,), "both": (True, False)}


def variants_of(arms: Sequence[str], specs: Sequence[PlanSpec], vw: str) -> list[Variant]:
    """vw: on | off | both. The policy has the plan named learned, and those that were told.

    Plans for their arms is the service's default: an arm that a plan with a learned gate calls is
    not to be had alone, for a gate that accepts at once, or escalates at once, is as good.
    """
    compared = [Variant(arm, SINGLE, fixed=arm) for arm in arms]
    compared.append(Variant(PERFECT, PERFECT, (specs[0],)))
    compared += [Variant(f"{FIXED}: {s.name}", FIXED, (s,), s.name) for s in specs]
    beside = tuple(s for s in specs if s.name == LEARNED or s.name not in USUAL)
    beside = beside or tuple(specs)
    menus: tuple[tuple[str, tuple[PlanSpec, ...], str], ...] = (
        ("arms", (), "offered"),
        ("arms and plans", beside, "offered"),
        ("plans for their arms", beside, "spare"),
    )
    for name, plans, covered in menus:
        for on in VW[vw]:
            said = f"{ADAPTIVE}: {name}" + ("" if on else ", no VW")
            compared.append(Variant(said, ADAPTIVE, plans, vw=on, covered_arms=covered))
    return compared
