"""Parquet files of events."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from router.tools.archive.errors import ArchiveBroken, ArchiveUnusable
from router.tools.archive.rows import Entry, entry_of, row_of

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:
    pa = pq = None

_INSTALL = "archives need pyarrow: pip install 'adaptive-router[archive]'"


def check_installed() -> None:
    """Raises ArchiveUnusable."""
    if pa is None:
        raise ArchiveUnusable(_INSTALL)


def schema() -> Any:
    """Of every file; empty cells stand for what an event of its kind does not have."""
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
    """A whole file, Zstandard inside."""
    check_installed()
    table = pa.Table.from_pylist([row_of(entry) for entry in entries], schema())
    written = io.BytesIO()
    pq.write_table(table, written, compression="zstd")
    return written.getvalue()


def entries_in(path: Path) -> Iterator[Entry]:
    """In order. Raises ArchiveUnusable, ArchiveBroken."""
    check_installed()
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(1_024, columns=["position", "kind", "body"]):
                yield from (entry_of(row) for row in batch.to_pylist())
    except (pa.ArrowException, OSError):
        raise ArchiveBroken(f"{path}: not a file of this archive that can be read") from None
