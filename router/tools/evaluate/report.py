"""The estimates as text and as figures."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any, Final, TypeAlias

from bandit.offpolicy import Estimated
from router.tools.evaluate.cases import Forecast
from router.tools.evaluate.evaluation import Comparison, WeightedValues

EXPLORE: Final = "raise policy.exploration_floor"
NAME_ARMS: Final = "name other arms in some requests (routing.arm)"
"""A policy that only watches explores nothing, whatever the floor."""
HALF: Final = 0.5
Names: TypeAlias = tuple[str, str]
"""Names of the policy and of the one it is compared with."""


def lines(names: Names, compared: Comparison, by_weights: WeightedValues) -> list[str]:
    """Returns a Markdown table and the verdict."""
    rows = [
        (names[0], compared.value),
        (names[1], compared.against),
        ("gain", compared.gain),
    ]
    return [
        f"{compared.counted} of {compared.decisions} decisions have feedback and are counted",
        "",
        "| | reward | 95 % interval, doubly robust | decisions left by weight |",
        "|---|---|---|---|",
        *(f"| {name} | {_mean(e):+.4f} | {_bounds(e)} | {e.effective:.0f} |" for name, e in rows),
        "",
        f"{names[0]} by weights alone: {_by_weights(by_weights)}",
        "",
        _verdict(names, compared),
        *([] if compared.forecast is None else _forecast_lines(compared.forecast)),
    ]


def _forecast_lines(forecast: Forecast) -> list[str]:
    saved = 1 - forecast.would_usd / forecast.served_usd if forecast.served_usd else 0.0
    watched = f"{forecast.decisions} decisions were only watched (${forecast.paid_usd:.4f} paid)"
    costs = f"${forecast.would_usd:.6f} instead of ${forecast.served_usd:.6f} a request"
    quality = f"quality {forecast.would_quality:.3f} instead of {forecast.served_quality:.3f}"
    return [
        "",
        f"{watched}: {forecast.elsewhere:.0%} would have gone elsewhere, {saved:.1%} of cost saved",
        f"by the policy's own forecast, which no outcome checked: {costs}, {quality}",
        "the table holds if callers chose an arm by nothing but what the prompt is about",
    ]


def _by_weights(values: WeightedValues) -> str:
    bounds = f"[{values.low:+.4f}, {values.high:+.4f}]"
    return f"IPS {values.ips:+.4f}, SNIPS {values.snips:+.4f}, Cressie-Read {bounds}"


def figures(names: Names, compared: Comparison, by_weights: WeightedValues) -> dict[str, Any]:
    return {
        "policy": names[0],
        "against": names[1],
        "decisions": compared.decisions,
        "counted": compared.counted,
        "value": _figures(compared.value),
        "against_value": _figures(compared.against),
        "gain": _figures(compared.gain),
        "ips": _known(by_weights.ips),
        "snips": _known(by_weights.snips),
        "cressie_read": [_known(by_weights.low), _known(by_weights.high)],
        "watched": asdict(compared.forecast) if compared.forecast else None,
    }


def _figures(estimated: Estimated) -> dict[str, Any]:
    interval = estimated.interval
    bounds = [_known(interval.low), _known(interval.high)] if interval else None
    found = {"mean": _known(_mean(estimated)), "effective": _known(estimated.effective)}
    return found | {"interval": bounds}


def _known(value: float) -> float | None:
    """Returns None for what JSON has no number for: nothing was left to estimate it from."""
    return float(value) if math.isfinite(value) else None


def _mean(estimated: Estimated) -> float:
    return float(estimated.values.mean())


def _bounds(estimated: Estimated) -> str:
    interval = estimated.interval
    return f"[{interval.low:+.4f}, {interval.high:+.4f}]" if interval else "refused"


def _verdict(names: Names, compared: Comparison) -> str:
    pair, gain = f"{names[0]} against {names[1]}", compared.gain
    if gain.interval is None:
        remedy = NAME_ARMS if compared.watched > HALF else EXPLORE
        too_little = "the log says too little: it rarely chose what one of them would have"
        return f"{pair}: {too_little}; {remedy} or calibrate instead"
    if gain.interval.low > 0:
        return f"{pair}: better by at least {gain.interval.low:.4f}"
    if gain.interval.high < 0:
        return f"{pair}: worse by at least {-gain.interval.high:.4f}"
    return f"{pair}: no difference that the log could show"
