"""How much a request may hold and how many may come, and what is wrong with one, all at once."""

from __future__ import annotations

import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from router.domain import MS_PER_S
from router.domain.errors import FieldViolation, InvalidRequest, QuotaExceeded
from router.domain.tenants import Tenant
from router.doors.schemas import is_schema
from router.runtime.draft import MOST_PATTERN_CHARACTERS

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
REQUESTS: Final = "requests_per_minute"
REMEMBERED_TENANTS = 10_000
MINUTE_S: Final = 60.0

MAX_TOLD = 16
"""Violations in one status: gRPC metadata holds 8 KiB, and more than that hides them all."""

_SCHEMA_FIX = (
    "send valid JSON Schema (2020-12), 32 deep, with $ref to its own parts (#/...) and at most "
    f"{MOST_PATTERN_CHARACTERS} characters of patterns"
)


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """characters: of all texts together. schema_characters: of one JSON Schema.

    all_...: of all of a request together, since checking them takes time.
    """

    messages: int = 1_024
    parts: int = 64
    characters: int = 400_000
    all_parts: int = 4_096
    tools: int = 128
    tool_calls: int = 128
    all_tool_calls: int = 4_096
    schema_characters: int = 65_536
    all_schema_characters: int = 131_072
    stops: int = 8
    stop_characters: int = 256
    name_characters: int = 128
    url_characters: int = 2_000_000  # data: URLs carry the image itself
    output_tokens: int = 1_000_000
    weight: float = 10.0


class Violations:
    """Raise them together at the end with `done`."""

    def __init__(self) -> None:
        self._found: list[FieldViolation] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, field: str, description: str) -> None:
        self._found.append(FieldViolation(field, description))

    def require(self, holds: object, field: str, description: str) -> None:
        if not holds:
            self.add(field, description)

    def within(self, value: float | None, low: float, high: float, field: str) -> None:
        if value is not None and not (math.isfinite(value) and low <= value <= high):
            self.add(field, f"send a number from {low:g} to {high:g}")

    def short(self, text: str, most: int, field: str) -> None:
        self.require(len(text) <= most, field, f"send at most {most} characters")

    def schema(self, text: str, most: int, field: str) -> None:
        """JSON Schema text that stands on its own."""
        if len(text) > most:
            self.add(field, f"send at most {most} characters")
        elif not is_schema(text):
            self.add(field, _SCHEMA_FIX)

    def done(self) -> None:
        """Raises InvalidRequest."""
        if self._found:
            raise InvalidRequest(*self._told())

    def _told(self) -> list[FieldViolation]:
        more = len(self._found) - MAX_TOLD
        rest = [FieldViolation("request", f"and {more} more: mend these first")] if more > 0 else []
        return self._found[:MAX_TOLD] + rest


@dataclass(slots=True)
class _Rate:
    """limit: as the tenant had it. left: requests that may still be read, as of `at_s`."""

    limit: int
    left: float
    at_s: float
    refused_until_s: float = 0.0

    @property
    def most(self) -> int:
        return reads_per_minute(self.limit)


class RateMemory:
    """Refuses a tenant over its requests a minute before its request is read.

    The store counts the requests. Here it is known until when it refuses more of them, and how
    many were read in the last minute, good or bad: those it is never asked about cost time as well.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rates: OrderedDict[str, _Rate] = OrderedDict()

    def check(self, tenant: Tenant) -> None:
        """Count one request. Raises QuotaExceeded."""
        if not tenant.limits.requests_per_minute:
            return
        rate, now_s = self._rate(tenant), self._clock()
        rate.left = min(rate.most, rate.left + (now_s - rate.at_s) * rate.most / MINUTE_S)
        rate.at_s = now_s
        wait_s = max(rate.refused_until_s - now_s, (1 - rate.left) * MINUTE_S / rate.most)
        if wait_s > 0:
            raise QuotaExceeded(
                f"the quota {REQUESTS} is used up: try again later or have it raised",
                quota=REQUESTS,
                subject=tenant.name,
                retry_after_ms=max(1, int(wait_s * MS_PER_S)),
            )
        rate.left -= 1

    def refused(self, tenant: Tenant, error: QuotaExceeded) -> None:
        """Remember what the store said: until then it says the same."""
        if error.quota == REQUESTS:
            wait_s = min(error.retry_after_ms / MS_PER_S, MINUTE_S)
            self._rate(tenant).refused_until_s = self._clock() + wait_s

    def _rate(self, tenant: Tenant) -> _Rate:
        limit = tenant.limits.requests_per_minute
        rate = self._rates.get(tenant.name)
        if rate is None or rate.limit != limit:
            rate = self._rates[tenant.name] = _Rate(limit, reads_per_minute(limit), self._clock())
            if len(self._rates) > REMEMBERED_TENANTS:
                self._rates.popitem(last=False)
        return rate


def reads_per_minute(limit: int) -> int:
    """Requests read in a minute of a tenant that may make `limit`: some will be mistakes.

    >>> reads_per_minute(1), reads_per_minute(600)
    (12, 1210)
    """
    return 2 * limit + 10
