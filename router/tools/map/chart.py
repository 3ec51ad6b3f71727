"""The picture: a circle for each region, ringed by where its requests went."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from router.tools.map.atlas import Atlas, MapRegion, PlanView
from router.tools.map.formats import SCALE, letter, percent, text, title, why

MARGIN: Final = 40.0
RING: Final = 6.0
COLOURS: Final = 8
"""Plan colours in the style sheet; later plans reuse them and differ by letter."""
FAINTEST: Final = 0.18


def chart(atlas: Atlas) -> str:
    """Returns an SVG; regions are links to their rows, so they can be reached by keyboard."""
    if not atlas.regions:
        return '<p class="empty">No region to draw.</p>'
    left, top, width, height = _frame(atlas.regions)
    drawn = "".join(_circle(region, atlas) for region in atlas.regions)
    return (
        f'<svg class="map" viewBox="{left:.0f} {top:.0f} {width:.0f} {height:.0f}" role="group" '
        f'aria-label="Map of {len(atlas.regions)} kinds of prompts">{drawn}'
        f'<g class="labels" aria-hidden="true">{"".join(labels(atlas.regions))}</g></svg>'
    )


def legend(atlas: Atlas) -> str:
    items = "".join(
        f'<li><span class="key p{i % COLOURS}">{letter(i)}</span> {text(name)}</li>'
        for i, name in enumerate(atlas.plans)
    )
    return f'<ul class="legend" aria-label="Plans">{items}</ul>'


def interval_bar(view: PlanView, index: int, low: float) -> str:
    """Returns quality and its interval on an axis from `low` to 1; empty if not finite."""
    mean, interval = view.belief.estimate.quality, view.belief.quality
    if not math.isfinite(mean):
        return ""
    width = 120.0

    def at(value: float) -> float:
        clipped = min(max((value - low) / (1 - low), 0.0), 1.0)
        return 4 + clipped * (width - 8)

    line = ""
    if interval is not None and math.isfinite(interval.low) and math.isfinite(interval.high):
        line = f'<path d="M{at(interval.low):.1f} 6H{at(interval.high):.1f}"/>'
    return (
        f'<svg class="bar s{index % COLOURS}" viewBox="0 0 {width:.0f} 12" aria-hidden="true">'
        f'<path class="axis" d="M4 6H{width - 4:.0f}"/>{line}'
        f'<circle cx="{at(mean):.1f}" cy="6" r="4"/></svg>'
    )


def _frame(regions: Sequence[MapRegion]) -> tuple[float, float, float, float]:
    xs = [(r.x * SCALE, r.radius * SCALE) for r in regions]
    ys = [(-r.y * SCALE, r.radius * SCALE) for r in regions]
    left, right = min(x - s for x, s in xs) - MARGIN, max(x + s for x, s in xs) + MARGIN
    top, bottom = min(y - s for y, s in ys) - MARGIN, max(y + s for y, s in ys) + MARGIN
    return left, top, right - left, bottom - top


def _circle(region: MapRegion, atlas: Atlas) -> str:
    index = atlas.plans.index(region.best)
    x, y, radius = region.x * SCALE, -region.y * SCALE, region.radius * SCALE
    sure = region.plan(region.best).belief.best
    opacity = FAINTEST + (0.85 - FAINTEST) * _sureness(sure, len(atlas.plans))
    spoken = f"Region {title(region)}, {percent(region.share)} of requests. {why(region, atlas)}"
    return (
        f'<a class="region" href="#r{region.number + 1}" aria-label="{_whole(spoken)}" '
        f'transform="translate({x:.1f} {y:.1f})"><title>{text(title(region))}</title>'
        f'<circle class="ground" r="{radius:.1f}"/>'
        f'<circle class="p{index % COLOURS}" r="{radius:.1f}" fill-opacity="{opacity:.2f}"/>'
        f"{_ring(region, radius)}"
        f'<text class="letter" y="7">{letter(index)}</text></a>'
    )


def _ring(region: MapRegion, radius: float) -> str:
    """Returns arcs as long as the plans' shares of the region's requests."""
    arcs, start = [], 0.0
    for index, view in enumerate(region.plans):
        part = 100 * (view.share or 0.0)
        if part > 0:
            arcs.append(
                f'<circle class="ring s{index % COLOURS}" r="{radius - RING / 2:.1f}" '
                f'pathLength="100" stroke-dasharray="{part:.2f} {100 - part:.2f}" '
                f'stroke-dashoffset="{-start:.2f}"/>'
            )
            start += part
    return "".join(arcs)


def _sureness(best: float | None, plans: int) -> float:
    """Returns 0 for a guess among the plans to 1 for certainty; one half if unknown."""
    if best is None or not math.isfinite(best) or plans < 2:  # noqa: PLR2004 - nothing to choose
        return 0.5
    return min(max((best - 1 / plans) / (1 - 1 / plans), 0.0), 1.0)


def _whole(value: str) -> str:
    """Returns a sentence for an attribute, not cut like a name."""
    return " ".join(text(word) for word in value.split())


LETTER_WIDTH: Final = 9.0
HEIGHT: Final = 18.0
TERMS: Final = 2


@dataclass(frozen=True, slots=True)
class _Box:
    x: float
    y: float
    width: float
    height: float

    def meets(self, other: _Box) -> bool:
        apart_x = abs(self.x - other.x) * 2 >= self.width + other.width
        apart_y = abs(self.y - other.y) * 2 >= self.height + other.height
        return not (apart_x or apart_y)


def labels(regions: Sequence[MapRegion]) -> Iterator[str]:
    """Yields names below or above their circles; one without room is left out.

    Other names and the letters in the circles take room.
    """
    taken = [_Box(r.x * SCALE, -r.y * SCALE, 24.0, 24.0) for r in regions]
    for region in regions:
        for words in (region.name[:TERMS], region.name[:1]):
            box = next((b for b in _places(region, ", ".join(words)) if _free(b, taken)), None)
            if words and box is not None:
                taken.append(box)
                shown = text(", ".join(words))
                yield f'<text x="{box.x:.1f}" y="{box.y + HEIGHT / 3:.1f}">{shown}</text>'
                break


def _places(region: MapRegion, words: str) -> Iterator[_Box]:
    x, y, radius = region.x * SCALE, -region.y * SCALE, region.radius * SCALE
    for offset in (radius + HEIGHT / 2, -radius - HEIGHT / 2, radius / 2 + HEIGHT / 2):
        yield _Box(x, y + offset, LETTER_WIDTH * len(words), HEIGHT)


def _free(box: _Box, taken: Sequence[_Box]) -> bool:
    return not any(box.meets(other) for other in taken)
