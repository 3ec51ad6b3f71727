"""Words on the map, where there is room for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from router.tools.map.atlas import Region
from router.tools.map.figures import SCALE, text

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


def labels(regions: Sequence[Region]) -> Iterator[str]:
    """Names below or above their circles, first come first served; one without room is left out.

    What stands in the way are other names and the letters in the circles.
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


def _places(region: Region, words: str) -> Iterator[_Box]:
    x, y, radius = region.x * SCALE, -region.y * SCALE, region.radius * SCALE
    for offset in (radius + HEIGHT / 2, -radius - HEIGHT / 2, radius / 2 + HEIGHT / 2):
        yield _Box(x, y + offset, LETTER_WIDTH * len(words), HEIGHT)


def _free(box: _Box, taken: Sequence[_Box]) -> bool:
    return not any(box.meets(other) for other in taken)
