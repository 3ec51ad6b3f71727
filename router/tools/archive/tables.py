"""Parquet files of events: written, checked and read back.

The columns are for people; `body` is the whole event.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from router.domain import MS_PER_S
from router.domain.events import (
    Audited,
    Decided,
    Event,
    EvidenceBought,
    FeedbackGiven,
    PolicyChanged,
    PolicyCommand,
    Reasked,
    decision_of,
)
from router.domain.records import DecisionRecord
from router.tools.archive import manifest as manifests
from router.tools.archive.manifest import ArchiveBroken, ArchivePart, ArchiveUnusable, Manifest

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:
    pa = pq = None

_INSTALL = "archives need pyarrow: pip install 'adaptive-router[archive]'"


def check_installed() -> None:
    """Raises ArchiveUnusable without pyarrow."""
    if pa is None:
        raise ArchiveUnusable(_INSTALL)


def schema() -> Any:
    """Returns the schema of every file; cells that a kind of event does not have are empty."""
    text, number, whole = pa.string(), pa.float64(), pa.int64()
    kinds = {
        "position": text,
        "kind": text,
        "at_ms": whole,
        "decision_id": text,
        "tenant": text,
        "plan": text,
        "propensity": number,
        "policy_version": whole,
        "arm": text,
        "cost_usd": number,
        "latency_ms": number,
        "quality": number,
        "body": text,
    }
    return pa.schema(list(kinds.items()))


def table_bytes(entries: Sequence[Entry]) -> bytes:
    """Returns a file, compressed with Zstandard."""
    check_installed()
    table = pa.Table.from_pylist([row_of(entry) for entry in entries], schema())
    written = io.BytesIO()
    pq.write_table(table, written, compression="zstd")
    return written.getvalue()


def entries_in(path: Path) -> Iterator[Entry]:
    """Yields the events of a file in order. Raises ArchiveUnusable, ArchiveBroken."""
    check_installed()
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(1_024, columns=["position", "kind", "body"]):
                yield from (entry_of(row) for row in batch.to_pylist())
    except (pa.ArrowException, OSError):
        raise ArchiveBroken(f"{path}: not a file of this archive that can be read") from None


TableRow: TypeAlias = dict[str, Any]
Entry: TypeAlias = tuple[str, Event]
"""Position in the stream, event."""

_KINDS: Final[dict[str, type[Event]]] = {
    "decided": Decided,
    "feedback": FeedbackGiven,
    "reasked": Reasked,
    "audited": Audited,
    "evidence": EvidenceBought,
    "policy_command": PolicyCommand,
    "policy_changed": PolicyChanged,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}


def by_day(entries: Sequence[Entry], day: str) -> Iterator[tuple[str, list[Entry]]]:
    """Yields (day in UTC, its entries) in the order of the stream.

    Clocks of several writers differ: an entry of an earlier day belongs to the latest day so far,
    which `day` is at first.
    """
    days = accumulate((_day(event) for _, event in entries), max, initial=day)
    next(days)
    for name, group in groupby(zip(days, entries, strict=True), key=lambda pair: pair[0]):
        yield name, [entry for _, entry in group]


def row_of(entry: Entry) -> TableRow:
    position, event = entry
    row: TableRow = {
        "position": position,
        "kind": _NAMES[type(event)],
        "at_ms": _at_ms(event),
        "decision_id": decision_of(event),
        "body": msgspec.json.encode(event).decode(),
    }
    if isinstance(event, Decided):
        return row | _facts(event.record)
    quality = event.quality if isinstance(event, FeedbackGiven | Audited) else None
    return row | {"quality": quality}


def entry_of(row: TableRow) -> Entry:
    """Raises ArchiveBroken."""
    try:
        return row["position"], msgspec.json.decode(row["body"], type=_KINDS[row["kind"]])
    except (KeyError, msgspec.MsgspecError):
        raise ArchiveBroken("a row does not hold an event that this version can read") from None


def _facts(record: DecisionRecord) -> TableRow:
    choice = record.choice
    return {
        "tenant": record.tenant,
        "plan": choice.plan if choice else None,
        "propensity": choice.propensity if choice else None,
        "policy_version": choice.policy_version if choice else None,
        "arm": record.arm,
        "cost_usd": record.cost_usd,
        "latency_ms": record.latency_ms,
    }


def _at_ms(event: Event) -> int:
    return event.record.created_ms if isinstance(event, Decided) else event.at_ms


def _day(event: Event) -> str:
    at_ms = _at_ms(event)
    return datetime.fromtimestamp(at_ms / MS_PER_S, UTC).date().isoformat()


def verify(folder: Path) -> Manifest:
    """Check every file against the manifest, and the manifest against its chain.

    Raises:
        ArchiveUnusable: there is no archive.
        ArchiveBroken: names the first file that is wrong.

    """
    manifest = manifests.load(folder)
    if not manifest.parts:
        raise ArchiveUnusable(f"{folder}: no archive; `log export --out {folder}` begins one")
    for part in manifest.parts:
        _check(folder, part)
    return manifest


def read(folder: Path) -> Iterator[Entry]:
    """Yields every event in order, each file checked first. Raises like `verify`."""
    manifest = manifests.load(folder)
    for part in manifest.parts:
        _check(folder, part)
        yield from entries_in(folder / part.file)


def _check(folder: Path, part: ArchivePart) -> None:
    if Path(part.file).name != part.file:
        raise ArchiveBroken(f"{part.file}: the manifest names a file outside the archive")
    try:
        with (folder / part.file).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        raise ArchiveBroken(f"{part.file}: missing; bring it back from a copy") from None
    if digest != part.sha256:
        raise ArchiveBroken(f"{part.file}: changed since it was written; bring back a copy")
