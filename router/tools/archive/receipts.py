"""The receipt of a decision: found in the store, shown in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from router.app.process import opened_storage
from router.config import Config
from router.domain import MS_PER_S
from router.domain.events import is_drawn, number_of
from router.domain.records import Attempt, CacheStatus, Choice, DecisionRecord, as_made

PLAIN_WIDTH = 120
"""Width of tables where there is no terminal."""


@dataclass(frozen=True, slots=True)
class Option:
    """An eligible plan as the policy saw it; None where the policy had no estimate."""

    plan: str
    probability: float
    quality: float | None = None
    cost_usd: float | None = None
    utility: float | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """options: the likeliest first. yardstick: the dearest of them, the one to save against.

    saved_usd: its expected cost less what was paid; None where nothing was decided or answered.
    learned_by: the first snapshot still kept that knows the newest event; None for not yet.
    """

    record: DecisionRecord
    options: tuple[Option, ...] = ()
    yardstick: str = ""
    saved_usd: float | None = None
    learned_by: int | None = None

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        return self.record.attempts


def receipt_of(
    record: DecisionRecord, position: str | None, snapshots: Mapping[int, str]
) -> Receipt:
    """position: of the newest event that tells of it. snapshots: position by version."""
    learned_by = _first_with(position, snapshots) if position else None
    if record.choice is None:
        return Receipt(record, learned_by=learned_by)
    options = _eligible(record.choice)
    dearest = max(options, key=lambda option: option.cost_usd or 0.0)
    usd = dearest.cost_usd if record.answered else None
    saved_usd = None if usd is None else usd - record.cost_usd
    return Receipt(record, options, dearest.plan, saved_usd, learned_by)


def _eligible(choice: Choice) -> tuple[Option, ...]:
    known = {plan: rest for plan, *rest in choice.expected}
    ordered = sorted(choice.probabilities, key=lambda pair: -pair[1])
    return tuple(Option(plan, share, *known.get(plan, ())) for plan, share in ordered)


def _first_with(position: str, snapshots: Mapping[int, str]) -> int | None:
    knowing = [v for v, learned in snapshots.items() if number_of(learned) >= number_of(position)]
    return min(knowing, default=None)


async def find_receipt(config: Config, env: Mapping[str, str], decision_id: str) -> Receipt | None:
    """Returns None for a decision that is not in the store. Raises RouterError."""
    decision_id = as_made(decision_id)
    async with opened_storage(config, env, begun=True) as storage:
        (record,) = await storage.events.records([decision_id])
        if record is None:
            return None
        position = await storage.events.position_of(decision_id)
        return receipt_of(record, position, await storage.snapshots.positions())


def document(receipt: Receipt) -> dict[str, Any]:
    """Return the receipt as `explain --json` prints it; None for what is not known."""
    record, choice = receipt.record, receipt.record.choice
    at = datetime.fromtimestamp(record.created_ms / MS_PER_S, UTC).isoformat(timespec="seconds")
    return {
        "decision_id": record.id,
        "at": at,
        "tenant": record.tenant,
        "mode": record.mode,
        "cache": record.cache,
        "answered": record.answered,
        "locked": record.locked,
        "arm": record.arm or None,
        "deployment": record.deployment or None,
        "plan": choice.plan if choice else None,
        "probability": choice.propensity if choice else None,
        "explored": choice.explored if choice else None,
        "policy": choice.policy if choice else None,
        "snapshot_version": choice.policy_version if choice else None,
        "options": [asdict(option) for option in receipt.options],
        "attempts": [asdict(attempt) for attempt in receipt.attempts],
        "cost_usd": record.cost_usd,
        "saved_usd": receipt.saved_usd,
        "saved_against": receipt.yardstick or None,
        "feedback_quality": record.feedback,
        "learned_by": receipt.learned_by,
    }


def show(receipt: Receipt) -> None:
    console = Console()
    console = console if console.is_terminal else Console(width=PLAIN_WIDTH)
    for line in _heading(receipt):
        console.print(line, markup=False, highlight=False)
    if receipt.options:
        console.print(_options(receipt))
    if receipt.attempts:
        console.print(_attempts(receipt))
    for line in _ending(receipt):
        console.print(line, markup=False, highlight=False)


def _heading(receipt: Receipt) -> list[str]:
    record, choice = receipt.record, receipt.record.choice
    at = datetime.fromtimestamp(record.created_ms / MS_PER_S, UTC).isoformat(timespec="seconds")
    lines = [f"decision {record.id} · {at} · tenant {record.tenant} · {record.mode}"]
    if choice is None:
        return [*lines, f"{_undecided(record)}: nothing was decided"]
    weights = choice.weights
    explored = "explored" if choice.explored else "the best by expectation"
    aims = f"quality {weights.quality:g}, cost {weights.cost:g}, latency {weights.latency:g}"
    chosen = f"plan {choice.plan} with probability {choice.propensity:.3f}, {explored}"
    if choice.observed is not None:
        chosen = f"plan {choice.plan} served; the policy only watched: {choice.observed.plan}"
    return [
        *lines,
        chosen,
        f"policy {choice.policy}, snapshot {choice.policy_version}, map {choice.context.version}",
        f"weights: {aims}, failure {weights.failure:g}",
    ]


def _undecided(record: DecisionRecord) -> str:
    if record.locked:
        return f"{record.deployment} had asked for the tools whose results it was sent"
    if record.cache in (CacheStatus.EXACT, CacheStatus.SEMANTIC):
        return f"answered from the cache ({record.cache})"
    return "no plan could be chosen"


def _options(receipt: Receipt) -> Table:
    table = Table("plan", title="What was known", title_justify="left")
    for name in ("probability", "quality", "cost $", "utility"):
        table.add_column(name, justify="right")
    for option in receipt.options:
        table.add_row(option.plan, f"{option.probability:.3f}", *_expected(option))
    return table


def _expected(option: Option) -> list[str]:
    numbers = ((option.quality, ".3f"), (option.cost_usd, ".6f"), (option.utility, "+.3f"))
    return ["" if number is None else f"{number:{how}}" for number, how in numbers]


def _attempts(receipt: Receipt) -> Table:
    table = Table(
        "arm", "deployment", "outcome", "why", title="What was done", title_justify="left"
    )
    for name in ("ms", "tokens in", "cached", "written", "out", "reasoning", "cost $"):
        table.add_column(name, justify="right")
    for a in receipt.attempts:
        row = (a.arm, a.deployment, a.outcome, a.why, f"{a.latency_ms:.0f}")
        table.add_row(*row, *map(str, _tokens(a)), f"{a.cost_usd:.6f}")
    return table


def _tokens(attempt: Attempt) -> tuple[int, ...]:
    read = attempt.input_tokens, attempt.cached_tokens, attempt.written_tokens
    return (*read, attempt.output_tokens, attempt.reasoning_tokens)


def _ending(receipt: Receipt) -> list[str]:
    record = receipt.record
    feedback = "none yet" if record.feedback is None else f"quality {record.feedback:g}"
    if record.session_share is not None:
        feedback += f", of its whole session (weight {record.session_share:.3g})"
    learned = receipt.learned_by
    lines = [f"paid ${record.cost_usd:.6f} · feedback: {feedback}"]
    if receipt.saved_usd is not None:
        lines.append(
            f"saved ${receipt.saved_usd:.6f} against {receipt.yardstick}, as expected then"
        )
    if record.evidence_share:
        drawn = "drawn" if is_drawn(record.id, record.evidence_share) else "not drawn"
        lines.append(f"evidence: {drawn}, with probability {record.evidence_share:.3f}")
    if record.choice is not None:
        known = "not in a snapshot yet" if learned is None else f"known to snapshot {learned}"
        lines.append(f"learning: {known}")
    return lines
