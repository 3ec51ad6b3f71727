"""Formats of the numbers and names on the map."""

from __future__ import annotations

import math
from html import escape
from typing import Final

from bandit.frontier import Interval
from router.tools.map.atlas import Atlas, MapRegion, PlanView

NONE: Final = "\N{EN DASH}"
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CENT: Final = 0.01
_HUNDRED: Final = 100
PER: Final = 1_000
"""Costs are shown per this many requests: one alone costs too little to read."""
SHOWN_NAME: Final = 64
SCALE: Final = 460.0
"""Units of the picture in one of the plane."""


def plain(value: float | None, digits: int = 2) -> str:
    """Returns a dash for an unknown or non-finite number."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    return NONE if value is None or not math.isfinite(value) else f"{value:.0%}"


def usd(value: float | None) -> str:
    """Returns US dollars per thousand requests.

    >>> usd(0.0001234), usd(0.5), usd(1e-7)
    ('$0.12', '$500', '$0.0001')
    """
    return NONE if value is None or not math.isfinite(value) else f"${_short(value * PER)}"


def _short(value: float) -> str:
    if value >= _HUNDRED:
        return f"{value:.0f}"
    return f"{value:.2f}" if value >= _CENT else f"{value:.2g}"


def bounds(interval: Interval | None) -> str:
    if interval is None or not all(map(math.isfinite, (interval.low, interval.high))):
        return ""
    return f"[{interval.low:.2f}, {interval.high:.2f}]"


def usd_bounds(interval: Interval | None) -> str:
    if interval is None or not all(map(math.isfinite, (interval.low, interval.high))):
        return ""
    return f"[{_short(interval.low * PER)}, {_short(interval.high * PER)}]"


def letter(index: int) -> str:
    """Returns A, B, ... Z, A1, B1, ..."""
    round_, place = divmod(index, len(_LETTERS))
    return _LETTERS[place] + (str(round_) if round_ else "")


def title(region: MapRegion) -> str:
    """Returns the region's permanent number and its name, if any; not escaped."""
    name = ", ".join(region.name)
    return f"{region.number + 1} {name}" if name else f"{region.number + 1}"


def text(value: str) -> str:
    """Returns HTML text without control characters; over-long names are cut."""
    shown = "".join(c if c.isprintable() else " " for c in value)
    return escape(
        shown[: SHOWN_NAME - 1] + "\N{HORIZONTAL ELLIPSIS}" if len(shown) > SHOWN_NAME else shown
    )


def why(region: MapRegion, atlas: Atlas) -> str:
    """Returns a sentence on the best plan against the next; not escaped."""
    best = region.plan(region.best)
    others = [view for view in region.plans if view is not best and _is_known(view)]
    if not _is_known(best):
        return "Nothing can be said of any plan here."
    sentence = (
        f"{_name(best)}: expected quality {_quality(best)} at {_cost(best)} per 1,000 requests"
    )
    if best.belief.best is not None and len(region.plans) > 1:
        sentence += f"; best with probability {percent(best.belief.best)}"
    if not others:
        return f"{sentence}."
    rival = max(others, key=lambda view: view.belief.estimate.utility)
    return f"{sentence}. Next is {_name(rival)}: {_against(best, rival, atlas)}."


def _against(best: PlanView, rival: PlanView, atlas: Atlas) -> str:
    ours, theirs = best.belief.estimate, rival.belief.estimate
    gain = theirs.quality - ours.quality
    weight = atlas.head.weights.quality
    burden = (weight * theirs.quality - theirs.utility) - (weight * ours.quality - ours.utility)
    way = "more" if burden >= 0 else "less"
    return (
        f"quality {gain:+.3f}, while cost, time and failures take off {abs(burden):.3f} {way}, "
        "in units of utility"
    )


def _is_known(view: PlanView) -> bool:
    e = view.belief.estimate
    return all(map(math.isfinite, (e.quality, e.cost_usd, e.utility)))


def _name(view: PlanView) -> str:
    return view.belief.action[:SHOWN_NAME]


def _quality(view: PlanView) -> str:
    return f"{plain(view.belief.estimate.quality)} {bounds(view.belief.quality)}".strip()


def _cost(view: PlanView) -> str:
    return f"{usd(view.belief.estimate.cost_usd)}"
