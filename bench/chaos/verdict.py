"""What was promised against what the store holds at the end."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bench.chaos.callers import Promises
from router.adapters.storage import Storage
from router.domain.events import Decided, Event, FeedbackGiven

BATCH = 1_000
NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """Decision ids by what is wrong with them; all empty when every promise was kept.

    charged_usd, owed_usd: what the tenant was charged, and what its decisions cost together with
    the estimates of those that a kill left open. replay: what `learner replay --verify` said.
    """

    decisions: int
    feedback: int
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    feedback_lost: list[str] = field(default_factory=list)
    feedback_doubled: list[str] = field(default_factory=list)
    charged_usd: float = 0.0
    owed_usd: float = 0.0
    replay: str = ""
    same: bool = False

    @property
    def kept(self) -> bool:
        wrong = (self.lost, self.doubled, self.feedback_lost, self.feedback_doubled)
        fair = abs(self.charged_usd - self.owed_usd) < 1 / NANO * max(1, self.decisions)
        return self.same and fair and not any(wrong)


async def judged(storage: Storage, promises: Promises, config: Path, tenant: str) -> Verdict:
    events = await _events(storage)
    decided = Counter(e.record.id for e in events if isinstance(e, Decided))
    told = Counter(e.decision_id for e in events if isinstance(e, FeedbackGiven))
    values = {e.decision_id: e.quality for e in events if isinstance(e, FeedbackGiven)}
    charged_usd, owed_usd = await _money(storage, events, tenant)
    replay = subprocess.run(  # noqa: S603, ASYNC221 - our own command; nothing else runs by now
        [sys.executable, "-m", "router", "learner", "replay", "--verify", "--config", str(config)],
        check=False,
        capture_output=True,
        text=True,
    )
    return Verdict(
        decisions=len(promises.answered),
        feedback=len(promises.told),
        lost=[i for i in promises.answered if i not in decided] + promises.refused,
        doubled=[i for i, times in decided.items() if times > 1],
        feedback_lost=[i for i, quality in promises.told.items() if values.get(i) != quality],
        feedback_doubled=[i for i, times in told.items() if times > 1],
        charged_usd=charged_usd,
        owed_usd=owed_usd,
        replay=(replay.stdout + replay.stderr).strip(),
        same=replay.returncode == 0,
    )


async def _events(storage: Storage) -> list[Event]:
    found: list[Event] = []
    position = "0"
    while batch := await storage.events.read(position, BATCH, 0):
        found += [event for _, event in batch]
        position = batch[-1][0]
    return found


async def _money(storage: Storage, events: list[Event], tenant: str) -> tuple[float, float]:
    """Charged to the tenant, and owed by it, in USD."""
    call = storage.client.call
    charged = await call("HGET", f"ar:usage:{tenant}", "daily")
    costs = {e.record.id: e.record.cost_usd for e in events if isinstance(e, Decided)}
    owed = 0.0
    for key in await call("KEYS", "ar:reservation:*"):
        estimate, settled = await call("HMGET", key, "cost", "settled")
        decision_id = key.decode().rpartition(":")[2]
        owed += costs.get(decision_id, 0.0) if settled else float(estimate) / NANO
    return float(charged or 0) / NANO, owed
