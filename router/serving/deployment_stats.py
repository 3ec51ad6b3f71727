"""Each deployment as calls have shown it lately: its latency, its silences, its calls under way."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from router.domain import MS_PER_S
from router.domain.catalog import Deployment
from router.domain.chat import Answer
from router.runtime.fair_queue import FairShares
from router.serving.account_faults import AccountFaults

SAMPLES: Final = 64
USUAL: Final = 0.95
"""The quantile that stands for a usual latency."""
LEEWAY: Final = 1.5
"""A deployment is given this many times its usual latency."""
LEAST_MS: Final = 500.0
"""No attempt is cut short earlier in favour of the next deployment."""
KEPT_FOR_UNKNOWN: Final = 0.3
"""Share of what remains that is kept for a deployment that has not answered yet."""

SILENCES: Final = 3
"""Unanswered calls in a row of one tenant, or tenants in a row, after which calls go elsewhere."""
COOLDOWN_MS: Final = 5_000.0
MAX_COOLDOWN_MS: Final = 60_000.0
PROBE_MS: Final = 10_000.0
FAR: Final = 2.0
"""A call that may wait this many times longer than the longest silence is not held back by it."""
SLOW: Final = 3.0
"""Silence of so many times the usual latency speaks against the deployment itself."""
MAX_TENANTS: Final = 1_000
TENANT_SHARE: Final = 0.9
"""Of a deployment's places, for one tenant alone."""

CHARS_PER_TOKEN: Final = 4
MOST_PER_TOKEN: Final = 8
"""Characters up to which a piece of a stream is taken for one token."""
HIDDEN_MARGIN: Final = 32
HIDDEN_RATE: Final = 0.2
EVERYBODY: Final = ""
"""Counts tenants; their own calls stand under "/" and their name."""


@dataclass(slots=True)
class _Silence:
    """Calls in a row that a shorter limit than the deployment's own ended without an answer."""

    count: int = 0
    longest_ms: float = 0.0
    opened: int = 0
    until_s: float = 0.0
    probing: bool = False

    def add(self, waited_ms: float, now_s: float) -> None:
        self.count += 1
        self.longest_ms = max(self.longest_ms, waited_ms)
        if self.count >= SILENCES and (self.probing or now_s >= self.until_s):
            pause_ms = min(COOLDOWN_MS * 2**self.opened, MAX_COOLDOWN_MS)
            self.opened = min(self.opened + 1, 10)
            self.until_s, self.probing = now_s + pause_ms / MS_PER_S, False

    def concerns(self, limit_ms: float) -> bool:
        return self.count >= SILENCES and limit_ms <= FAR * self.longest_ms

    def probe(self, now_s: float) -> None:
        """Let one call through; others wait for its end, or for a while."""
        self.until_s, self.probing = now_s + PROBE_MS / MS_PER_S, True


@dataclass(slots=True)
class DeploymentStats:
    """One deployment in this process. places: of attempts under way, by tenant.

    Latencies are those of whole answers and of first deltas, each by itself. Silences end with the
    first whole answer to anybody: whoever waits too little learns it alone. Calls that have waited
    for long, with nobody answered meanwhile, count as silences before they end.
    """

    places: FairShares = field(default_factory=lambda: FairShares(0, share=TENANT_SHARE))
    _waiting: dict[int, tuple[str, float]] = field(default_factory=dict)
    _answered_s: float = -math.inf
    _latencies_ms: dict[bool, deque[float]] = field(default_factory=dict)
    _silences: dict[str, _Silence] = field(default_factory=dict)
    _hidden_tokens: float | None = None

    def waits(self, number: int, tenant: str, now_s: float) -> None:
        """A call waits for its answer, live for its first delta. number: names it."""
        self._waiting[number] = tenant, now_s

    def ended(self, number: int) -> None:
        self._waiting.pop(number, None)

    def answered(self, latency_ms: float, now_s: float, *, live: bool) -> None:
        """An answer came, or the first delta of one."""
        self._answered_s = now_s
        self._latencies_ms.setdefault(live, deque(maxlen=SAMPLES)).append(latency_ms)

    def silent(self, tenant: str, waited_ms: float, now_s: float) -> None:
        """A call was cut short by a limit that is not the deployment's own."""
        own = f"/{tenant}"
        if own not in self._silences:
            if len(self._silences) > MAX_TENANTS:
                self._silences.pop(next(name for name in self._silences if name != EVERYBODY))
            self._silence(EVERYBODY).add(waited_ms, now_s)
        self._silence(own).add(waited_ms, now_s)

    def holds_back(self, tenant: str, limit_ms: float, now_s: float) -> bool:
        """True if a call of this tenant that may wait no longer had better go elsewhere.

        After a cooldown one call tries the deployment.
        """
        kept = [self._silences.get(name) for name in (f"/{tenant}", EVERYBODY)]
        concerning = [s for s in kept if s is not None and s.concerns(limit_ms)]
        if any(now_s < s.until_s for s in concerning) or self._is_stuck(tenant, limit_ms, now_s):
            return True
        for silence in concerning:
            silence.probe(now_s)
        return False

    def _is_stuck(self, tenant: str, limit_ms: float, now_s: float) -> bool:
        """True if several calls have waited for half the limit, and longer than is usual."""
        if len(self._waiting) < SILENCES:
            return False
        usual_ms = max(
            (self.usual_ms(live=live) or 0.0 for live in self._latencies_ms), default=0.0
        )
        since_s = now_s - max(limit_ms / FAR, LEAST_MS, SLOW * usual_ms) / MS_PER_S
        late = [
            who for who, began_s in self._waiting.values() if self._answered_s < began_s <= since_s
        ]
        return late.count(tenant) >= SILENCES or len(set(late)) >= SILENCES

    def is_slow(self, waited_ms: float, *, live: bool) -> bool:
        """True if several tenants in a row waited far longer than usual, all for nothing."""
        usual_ms, all_of_them = self.usual_ms(live=live), self._silences.get(EVERYBODY)
        many = all_of_them is not None and all_of_them.count >= SILENCES
        return many and usual_ms is not None and waited_ms > max(LEAST_MS, SLOW * usual_ms)

    def usual_ms(self, *, live: bool) -> float | None:
        """None where nothing was answered yet."""
        known = sorted(self._latencies_ms.get(live, ()))
        return known[int(USUAL * (len(known) - 1))] if known else None

    @property
    def longest_silence_ms(self) -> float:
        return max((s.longest_ms for s in self._silences.values()), default=0.0)

    def completed(self, answer: Answer) -> None:
        """An answer is whole: it ends silences, and tells how many tokens are hidden reasoning."""
        self._silences.clear()
        usage, visible = answer.usage, visible_tokens(answer)
        if usage.guessed:
            return
        is_hidden = usage.output_tokens > 2 * visible + HIDDEN_MARGIN
        hidden = float(usage.output_tokens - visible if is_hidden else 0)
        hidden = float(usage.reasoning_tokens) or hidden
        known = hidden if self._hidden_tokens is None else self._hidden_tokens
        self._hidden_tokens = known + HIDDEN_RATE * (hidden - known)

    @property
    def hidden_tokens(self) -> int | None:
        """Hidden tokens of a usual answer; None where nothing was counted yet."""
        return None if self._hidden_tokens is None else int(self._hidden_tokens)

    def _silence(self, name: str) -> _Silence:
        return self._silences.setdefault(name, _Silence())


class StatsBook:
    """All deployments in this process; calls under way go on when the config is read anew.

    tenant_share: of the whole house; one deployment leaves a little to others in any case but 1.
    account_faults: of deployments, as they were last told.
    """

    def __init__(self, tenant_share: float = TENANT_SHARE) -> None:
        self.account_faults = AccountFaults()
        share = max(tenant_share, TENANT_SHARE)
        self._stats = defaultdict[tuple[str, str], DeploymentStats](
            lambda: DeploymentStats(FairShares(0, share=share))
        )

    def of(self, deployment: Deployment) -> DeploymentStats:
        stats = self._stats[deployment.name, deployment.base_url]
        stats.places.capacity = deployment.max_in_flight
        return stats


def visible_tokens(answer: Answer) -> int:
    called = sum(len(call.name) + len(call.arguments) for call in answer.tool_calls)
    return (len(answer.text) + called) // CHARS_PER_TOKEN


def tokens_heard(pieces: int, characters: int) -> int:
    """Guess the tokens of a stream so far: one in each short piece, else by its characters."""
    by_text = characters // CHARS_PER_TOKEN
    return pieces if characters <= MOST_PER_TOKEN * pieces else by_text


def share_ms(
    remaining_ms: float,
    own: DeploymentStats,
    others: Sequence[DeploymentStats],
    *,
    live: bool,
    failed: bool,
) -> float:
    """Returns how long a deployment may take, so that one after it can still answer.

    It is left as late as that allows: an answer may take long. Nothing is kept for deployments that
    would not answer in half of what remains, nor, once one has failed, for those not known. A
    deployment always gets its own usual latency with some leeway. failed: an attempt has.
    """
    half_ms, unknown_ms = remaining_ms / 2, 0.0 if failed else remaining_ms * KEPT_FOR_UNKNOWN
    needs_ms = (_needed_ms(o, half_ms, unknown_ms, live=live) for o in others)
    kept_ms = min(half_ms, max(filter(None, needs_ms), default=0.0))
    usual_ms = own.usual_ms(live=live) or 0.0
    least_ms = min(remaining_ms, max(LEAST_MS, LEEWAY * usual_ms))
    return max(remaining_ms - kept_ms, least_ms)


def _needed_ms(stats: DeploymentStats, most_ms: float, unknown_ms: float, *, live: bool) -> float:
    """Returns the time to keep for a deployment, 0 for one that would not answer in it."""
    usual_ms = stats.usual_ms(live=live)
    if usual_ms is None:
        return unknown_ms if stats.longest_silence_ms < unknown_ms else 0.0
    return max(LEAST_MS / 2, LEEWAY * usual_ms) if usual_ms <= most_ms else 0.0
