"""The outcome of a run of `scripts/chaos store`: a table of its faults, and a verdict."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.chaos.books import Differences
from bench.chaos.stage import PRICES
from bench.chaos.traffic import DEADLINE_S, GRACE_S, UNKNOWN, Call, Fate, number_in
from demo.upstream import LedgerEntry
from demo.world import TOKENS_PER_MTOK

WELL_S = 3.0
"""A fault that is over may still show for this long."""
FAIR = 0.05
"""Difference between what was paid and what was charged, at most."""
UNWELL = (Fate.REFUSED, Fate.LATE, Fate.HUNG)
BUSY = "IDEMPOTENCY_RUNNING"
COLUMNS = ["asked", "answered", "degraded", "refused", "late", "hung", "left", "thrown", "told"]


LEAD_S = 0.5
"""A call that was asked so shortly before a fault is still under way when it comes."""


@dataclass(frozen=True, slots=True)
class Window:
    """A fault and the calm after it, until the next; times are monotonic."""

    name: str
    began_s: float
    healed_s: float
    over_s: float

    def met(self, calls: Sequence[Call]) -> list[Call]:
        began_s, over_s = self.began_s - LEAD_S, self.over_s - LEAD_S
        return [c for c in calls if began_s <= c.asked_s < over_s]

    def ill_s(self, calls: Sequence[Call]) -> float:
        """Returns how long after the fault calls were still asked in vain."""
        vain = [c for c in self.met(calls) if c.fate in UNWELL and c.reason != BUSY]
        return max((c.asked_s - self.healed_s for c in vain), default=0.0)


@dataclass(frozen=True, slots=True)
class End:
    """How processes and the log ended.

    early: processes that ended by themselves. slow: those that SIGTERM did not end in time.
    spooled: writes that routers had not delivered by then.
    """

    early: Sequence[str]
    slow: Sequence[str]
    spooled: int
    backlog: int
    same: bool
    replay: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOutcome:
    """All that a run has shown.

    twice: pairs of decisions that answered one key. redis_lost: promises that the new primary of a
    failover never heard of. charged_usd: what only the old primary knew included.
    """

    windows: Sequence[Window]
    calls: Sequence[Call]
    ledger: Sequence[LedgerEntry]
    wrong: Differences
    twice: Sequence[tuple[str, str]]
    redis_lost: int
    charged_usd: float
    end: End

    @property
    def kept(self) -> bool:
        return all(held for _, held in self.verdict())

    def lines(self) -> Iterator[str]:
        """Yield the table and the verdict."""
        yield f"{'fault':<9}" + "".join(f"{name:>10}" for name in (*COLUMNS, "slowest", "after"))
        thrown, first_s = self._thrown(), min((w.began_s for w in self.windows), default=0.0)
        yield _row("(before)", [c for c in self.calls if c.asked_s < first_s - LEAD_S], thrown)
        for window in self.windows:
            after_s = max(0.0, window.ill_s(self.calls))
            yield _row(window.name, window.met(self.calls), thrown) + f"{after_s:>9.1f}s"
        yield _row("(all)", self.calls, thrown)
        reasons = Counter(c.reason for c in self.calls if c.fate is Fate.REFUSED)
        yield "refused: " + (", ".join(f"{n} {r}" for r, n in reasons.most_common()) or "none")
        for text, held in self.verdict():
            yield f"{'ok    ' if held else 'BROKEN'} {text}"

    def verdict(self) -> Iterator[tuple[str, bool]]:
        """Yield every promise and whether it was kept."""
        hung = sum(c.fate is Fate.HUNG for c in self.calls)
        yield f"{hung} callers waited {GRACE_S:.0f} s beyond {DEADLINE_S:.0f} s", not hung
        yield f"ended by themselves: {_names(self.end.early)}", not self.end.early
        yield f"not ended by SIGTERM in time: {_names(self.end.slow)}", not self.end.slow
        wrong = str(self.wrong).replace("\n", "; ")
        yield f"{wrong}; {self.redis_lost} more went with the old primary", self.wrong.none
        yield f"writes still spooled: {self.end.spooled}", not self.end.spooled
        yield f"answered twice under one key: {len(self.twice)}", not self.twice
        thrown = sum(self._thrown().values())
        yield f"paid, then refused: {thrown}", not thrown
        off = self.charged_usd / self.paid_usd - 1 if self.paid_usd else 0.0
        money = f"paid ${self.paid_usd:.6f}, charged ${self.charged_usd:.6f} ({off:+.1%})"
        yield money, abs(off) <= FAIR
        ill = [w.name for w in self.windows if w.ill_s(self.calls) > WELL_S]
        yield f"not well {WELL_S:.0f} s after: {_names(ill)}", not ill
        yield f"events not learned: {self.end.backlog}", not self.end.backlog
        yield f"replay: {self.end.replay}", self.end.same

    @property
    def paid_usd(self) -> float:
        return sum(_usd(entry) for entry in self.ledger)

    def _thrown(self) -> Mapping[int, bool]:
        """Returns by `id` of a call whether a router refused it though a provider served it.

        A router that is killed says nothing; such calls are left out.
        """
        served = defaultdict(list)
        for entry in self.ledger:
            served[number_in(entry.prompt)].append(entry.began_s)
        return {
            id(c): any(c.asked_s <= s <= c.asked_s + c.took_s for s in served[c.number])
            for c in self.calls
            if c.fate is Fate.REFUSED and not c.reason.endswith(UNKNOWN)
        }


def _row(name: str, calls: Sequence[Call], thrown: Mapping[int, bool]) -> str:
    fates = Counter(c.fate for c in calls)
    told = [c.told for c in calls if c.told is not None]
    cells = [
        len(calls),
        fates[Fate.ANSWERED],
        sum(c.degraded for c in calls),
        *(fates[fate] for fate in (Fate.REFUSED, Fate.LATE, Fate.HUNG, Fate.LEFT)),
        sum(thrown.get(id(c), False) for c in calls),
        f"{sum(told)}/{len(told)}",
    ]
    slowest_s = max((c.took_s for c in calls), default=0.0)
    return f"{name:<9}" + "".join(f"{cell:>10}" for cell in cells) + f"{slowest_s:>9.1f}s"


def _usd(entry: LedgerEntry) -> float:
    tokens = entry.input_tokens + entry.output_tokens
    return PRICES[entry.model] * tokens / TOKENS_PER_MTOK


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
