"""One file to look at: no network, nothing that runs but one small script of its own."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from importlib.resources import files
from typing import Final

from router.tools.map.atlas import Atlas
from router.tools.map.chart import chart, legend
from router.tools.map.figures import text, usd
from router.tools.map.table import table

_ASSETS: Final = files(__package__).joinpath("assets")


def page(atlas: Atlas) -> str:
    """A whole HTML document, UTF-8. Names are escaped; its policy lets nothing else be loaded."""
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
