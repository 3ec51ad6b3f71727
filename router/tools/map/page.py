"""The map as one HTML file: no network, no script but a small one of its own."""

from __future__ import annotations

import base64
import hashlib
import math
from datetime import UTC, datetime
from importlib.resources import files
from typing import Final

from router.tools.map.atlas import Atlas, MapRegion, PlanView
from router.tools.map.chart import COLOURS, chart, interval_bar, legend
from router.tools.map.formats import (
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

_ASSETS: Final = files(__package__).joinpath("assets")


def page(atlas: Atlas) -> str:
    """Returns an HTML document with escaped names; its policy lets nothing else be loaded."""
    style, script = _asset("map.css"), _asset("map.js")
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    notes = "".join(f"<li>{_sentence(note)}</li>" for note in atlas.notes)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Semantic routing map</title><style>{style}</style></head><body>"
        f"<header><h1>Semantic routing map</h1><p>{_facts(atlas)}</p></header><main>"
        f'<section class="view"><div class="picture">{legend(atlas)}{chart(atlas)}'
        f'<p class="hint">{_HINT}</p></div>'
        '<aside id="panel" aria-live="polite"><p class="hint">Point at a region, or reach it with '
        "the tab key, to see which plan is best there and why.</p></aside></section>"
        f'<ul class="notes">{notes}</ul><h2>Every region</h2><p class="hint">{_READING}</p>'
        f'<div class="scroll">{table(atlas)}</div></main><script>{script}</script></body></html>\n'
    )


_HINT: Final = (
    "Near regions hold alike prompts. A circle's area is its share of the requests, its letter and "
    "colour the plan that is expected to be best there, the stronger the surer; the ring shows "
    "which plans the requests went to."
)
_READING: Final = (
    "Intervals hold the expected value with 95 % probability under the policy's posterior; single "
    "answers vary more. Best: the probability that no other plan has a higher expected utility. "
    "Chosen, seen: what the requests on record got. Quality is that of the region's average "
    "prompt; what was seen of a plan that is chosen for prompts that suit it is better, and is to "
    "be compared with what was foreseen of these."
)


def _facts(atlas: Atlas) -> str:
    head, w = atlas.head, atlas.head.weights
    made = datetime.fromtimestamp(head.made_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    unit = f"{usd(head.cost_unit_usd)} per 1,000 requests"
    facts = (
        f"policy {head.policy}, snapshot {head.snapshot}, {head.learned} outcomes learned",
        f"context map {head.context_version}",
        f"{atlas.requests} requests on record",
        f"utility: {w.quality:g} quality \N{MINUS SIGN} {w.cost:g} for every {unit}",
        made,
    )
    return " \N{MIDDLE DOT} ".join(_sentence(fact) for fact in facts)


def _sentence(value: str) -> str:
    return " ".join(text(word) for word in value.split())


def _asset(name: str) -> str:
    return _ASSETS.joinpath(name).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


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


def _group(region: MapRegion, atlas: Atlas, low: float) -> str:
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


def _row(view: PlanView, index: int, region: MapRegion, low: float) -> str:
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
    """Returns the start of the quality axis: a tenth below every value shown, at most 0.9."""
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
