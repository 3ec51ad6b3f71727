"""Everything in rows: a group for each region, a row for each plan."""

from __future__ import annotations

import math
from typing import Final

from router.tools.map.atlas import Atlas, PlanView, Region
from router.tools.map.chart import COLOURS, interval_bar
from router.tools.map.figures import (
    bounds,
    letter,
    percent,
    plain,
    text,
    title,
    usd,
    usd_bounds,
    why,
)
from router.tools.map.traffic import PlanTraffic

_HEAD: Final = (
    ("", "Plan"),
    ("", "Quality"),
    ("", "Cost of 1,000"),
    ("", "Best"),
    ("", "Chosen"),
    ("wide", "Utility"),
    ("wide", "Seen quality"),
    ("wide", "Seen cost of 1,000"),
)


def table(atlas: Atlas) -> str:
    columns = "".join(f'<th scope="col"{_class(kind)}>{name}</th>' for kind, name in _HEAD)
    low = _lowest(atlas)
    groups = "".join(_group(region, atlas, low) for region in atlas.regions)
    return f'<table id="all"><thead><tr>{columns}</tr></thead>{groups}</table>'


def _group(region: Region, atlas: Atlas, low: float) -> str:
    rows = "".join(_row(view, i, region, low) for i, view in enumerate(region.plans))
    name = text(title(region))
    size = ""
    if region.share is not None:
        size = f' <span class="size">{percent(region.share)} of {atlas.requests} requests</span>'
    reason = " ".join(text(word) for word in why(region, atlas).split())
    examples = "".join(f"<li>{_excerpt(example)}</li>" for example in region.examples)
    listed = f'<ul class="examples">{examples}</ul>' if examples else ""
    span = len(_HEAD)
    return (
        f'<tbody id="r{region.number + 1}">'
        f'<tr class="name"><th scope="rowgroup" colspan="{span}">{name}{size}</th></tr>{rows}'
        f'<tr class="why"><td colspan="{span}">{reason}{listed}</td></tr></tbody>'
    )


def _row(view: PlanView, index: int, region: Region, low: float) -> str:
    belief, traffic = view.belief, view.traffic
    best = ' class="best"' if belief.action == region.best else ""
    quality = f"{plain(belief.estimate.quality)} <small>{bounds(belief.quality)}</small>"
    cost = f"{usd(belief.estimate.cost_usd)} <small>{usd_bounds(belief.cost_usd)}</small>"
    chosen = f"{percent(view.share)} <small>{traffic.requests or ''}</small>"
    return (
        f'<tr{best}><th scope="row"><span class="key p{index % COLOURS}">{letter(index)}</span> '
        f"{text(belief.action)}</th>"
        f"<td>{interval_bar(view, index, low)} {quality}</td><td>{cost}</td>"
        f"<td>{percent(belief.best)}</td><td>{chosen}</td>"
        f'<td class="wide">{plain(belief.estimate.utility, 3)}</td>'
        f'<td class="wide">{_seen(traffic)}</td>'
        f'<td class="wide">{_spent(view)}</td></tr>'
    )


def _seen(traffic: PlanTraffic) -> str:
    count = traffic.judged
    if not count:
        return plain(None)
    foreseen = plain(traffic.foreseen / count)
    return f"{plain(traffic.quality / count)} <small>{count} judged, {foreseen} foreseen</small>"


def _spent(view: PlanView) -> str:
    traffic = view.traffic
    return usd(traffic.cost_usd / traffic.requests) if traffic.requests else usd(None)


def _lowest(atlas: Atlas) -> float:
    """Where the quality axis begins: a tenth below everything that is shown, at most .9."""
    shown = [
        number
        for region in atlas.regions
        for view in region.plans
        for number in (
            view.belief.estimate.quality,
            view.belief.quality.low if view.belief.quality else 1.0,
        )
        if math.isfinite(number)
    ]
    return min(max(math.floor(min(shown, default=0.0) * 10) / 10, 0.0), 0.9)


def _excerpt(example: str) -> str:
    return " ".join(text(word) for word in example.split())


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
