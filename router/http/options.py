"""How to route a request, told by headers and by `metadata`; and the receipt, in both."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from router.domain import MS_PER_S
from router.domain.catalog import Catalog
from router.domain.errors import FieldViolation
from router.domain.records import Attempt, DecisionRecord
from router.domain.requests import RoutingOptions, WeightOverrides
from router.domain.tenants import QuotaLeft, Tenant
from router.doors.checks import RequestLimits, Violations
from router.http.status import Header, UnknownModel

AUTO: Final = "auto"
PREFIX: Final = "x-router-"
IN_METADATA: Final = "router_"
TASK_CHARACTERS: Final = 64
DAY_MS: Final = 86_400_000
TIMEOUTS: Final = (b"x-stainless-timeout", b"x-stainless-read-timeout")
"""Headers by which the official clients say how long they wait, in seconds."""
MAX_USD: Final = 1e6
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
WEIGHTS: Final = ("quality", "cost", "latency", "failure")
NUMBER: Final = re.compile(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?", re.ASCII | re.IGNORECASE)
SWITCH: Final = {"": False, **dict.fromkeys(("0", "false", "no"), False)} | dict.fromkeys(
    ("1", "true", "yes"), True
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """Options given beside the chat. timeout_ms: for the whole request, None for no limit.

    no_evidence: see `RouteRequest`.
    """

    options: RoutingOptions
    plan: str = ""
    task: str = ""
    timeout_ms: float | None = None
    no_evidence: bool = False


class WishReader:
    """Reads wishes from headers, or where those are silent from `metadata`."""

    def __init__(
        self,
        header: Callable[[bytes], str],
        metadata: Mapping[str, Any],
        limits: RequestLimits,
        found: Violations,
    ) -> None:
        self._header = header
        self._metadata = metadata
        self._limits = limits
        self._found = found

    def read(self, arm: str, plan: str) -> Wishes:
        """Read all of them. arm, plan: what `model` names."""
        weights = {name: self._number(f"weight-{name}", 0, 10) for name in WEIGHTS}
        key = self._told(b"idempotency-key")
        self._found.short(key, self._limits.name_characters, "idempotency-key")
        options = RoutingOptions(
            arm=arm,
            max_cost_usd=self._number("max-cost-usd", 1e-9, MAX_USD),
            max_latency_ms=self._whole("max-latency-ms"),
            weights=WeightOverrides(**weights),
            session_id=self._text("session", self._limits.name_characters),
            idempotency_key=key,
            no_cache=self._switch("no-cache"),
        )
        task = self._text("task", TASK_CHARACTERS)
        self._found.require(
            not CONTROL.search(task), f"{PREFIX}task", "leave control characters out"
        )
        timeout_ms = self._number("timeout-ms", 1, DAY_MS)
        return Wishes(options, plan, task, timeout_ms, self._switch("no-evidence"))

    def _said(self, name: str) -> str:
        told = self._told((PREFIX + name).encode())
        if told:
            return told
        value = self._metadata.get(IN_METADATA + name.replace("-", "_"))
        if isinstance(value, dict | list):
            self._found.add(PREFIX + name, "send a text or a number")
        return value.strip() if isinstance(value, str) else "" if value is None else str(value)

    def _told(self, name: bytes) -> str:
        """Returns a header in UTF-8, which is what bodies and gRPC have, else as it came."""
        told = self._header(name)
        try:
            return told if told.isascii() else told.encode("latin-1").decode()
        except UnicodeDecodeError:
            return told

    def _switch(self, name: str) -> bool:
        told = SWITCH.get(self._said(name).lower())
        self._found.require(told is not None, PREFIX + name, "send true or false")
        return bool(told)

    def _text(self, name: str, most: int) -> str:
        told = self._said(name)
        self._found.short(told, most, PREFIX + name)
        return told

    def _whole(self, name: str) -> int | None:
        number = self._number(name, 1, DAY_MS)
        return None if number is None else int(number)

    def _number(self, name: str, low: float, high: float) -> float | None:
        told = self._said(name)
        if not told:
            return None
        try:
            number = float(told) if NUMBER.fullmatch(told) else math.nan
        except ValueError:
            number = math.nan
        self._found.within(number, low, high, PREFIX + name)
        return number if math.isfinite(number) else None


def named(model: str, catalog: Catalog, tenant: Tenant) -> tuple[str, str]:
    """Returns the arm or the plan that `model` names. Raises UnknownModel."""
    if model == AUTO:
        return "", ""
    if model in catalog.arms and _may_use(tenant, (model,)):
        return model, ""
    if model in catalog.plans and _may_use(tenant, catalog.plans[model].arms):
        return "", model
    raise UnknownModel(FieldViolation("model", "name `auto`, or a model of GET /v1/models"))


def _may_use(tenant: Tenant, arms: tuple[str, ...]) -> bool:
    return not tenant.limits.arms or set(arms).issubset(tenant.limits.arms)


def client_timeout_s(header: Callable[[bytes], str]) -> float | None:
    """Returns how long the client of a whole answer says it waits; None where it does not.

    >>> client_timeout_s({b"x-stainless-read-timeout": "2.5"}.get)
    2.5
    >>> client_timeout_s({b"x-stainless-timeout": "never"}.get)
    """
    for name in TIMEOUTS:
        try:
            told_s = float(header(name) or "nan")
        except ValueError:
            continue
        if 0 < told_s <= DAY_MS / MS_PER_S:
            return told_s
    return None


def deadline_of(wishes: Wishes, waits_s: float | None, now_s: float) -> float | None:
    """Returns when to be done. waits_s: as its client says, where the caller wishes nothing."""
    within_s = waits_s if wishes.timeout_ms is None else wishes.timeout_ms / MS_PER_S
    return None if within_s is None else now_s + within_s


def receipt_headers(record: DecisionRecord) -> list[Header]:
    choice = record.choice
    told = {
        "decision-id": record.id,
        "plan": choice.plan if choice else "",
        "arm": record.arm,
        "deployment": record.deployment,
        "model": record.model,
        "cost-usd": f"{record.cost_usd:.9g}",
        "cache": record.cache.value,
    }
    return [(f"{PREFIX}{name}".encode(), _safe(value)) for name, value in told.items() if value]


def _safe(value: str) -> bytes:
    return CONTROL.sub("", value).encode("ascii", "replace")


def receipt(record: DecisionRecord, left: QuotaLeft) -> dict[str, Any]:
    """Returns the receipt as it stands in the extension field `router` of an answer."""
    choice = record.choice
    return {
        "decision_id": record.id,
        "plan": choice.plan if choice else "",
        "arm": record.arm,
        "deployment": record.deployment,
        "model": record.model,
        "propensity": choice.propensity if choice else float(record.locked),
        "explored": choice.explored if choice else False,
        "policy": choice.policy if choice else "",
        "policy_version": choice.policy_version if choice else 0,
        "would_plan": choice.observed.plan if choice and choice.observed else "",
        "attempts": [_attempt(attempt) for attempt in record.attempts],
        "cache": record.cache.value,
        "similarity": record.similarity,
        "cost_usd": record.cost_usd,
        "degraded": record.degraded,
        "locked": record.locked,
        "quota_left": {
            "requests": left.requests,
            "tokens": left.tokens,
            "daily_usd": left.daily_usd,
            "monthly_usd": left.monthly_usd,
        },
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "arm": attempt.arm,
        "deployment": attempt.deployment,
        "model": attempt.model,
        "outcome": attempt.outcome.value,
        "why": attempt.why,
        "latency_ms": attempt.latency_ms,
        "input_tokens": attempt.input_tokens,
        "output_tokens": attempt.output_tokens,
        "cost_usd": attempt.cost_usd,
    }
