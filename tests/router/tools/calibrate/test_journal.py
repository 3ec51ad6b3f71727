"""The journal after crashes: whole lines count, a torn one does not, calls in doubt are paid."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import pytest

from router.domain.chat import FinishReason
from router.tools.calibrate.collect.journal import (
    Answered,
    Entry,
    Failed,
    Intent,
    Journal,
    JournalUnusable,
    Ledger,
    Scored,
)

INTENT = Intent("k", 1, "d", 0.5)
ANSWER = Answered("k", 1, "d", "m", "four\n\u2028é", FinishReason.STOP, 10, 5, 0.1, 20.0, -0.5)
FAILURE = Failed("k", 1, "d", "provider_timeout", 0.02, 0.5, 1_000.0)


def written(path: Path, *entries: Entry) -> None:
    async def write() -> None:
        with Journal.open(path) as journal:
            for entry in entries:
                await journal.write(entry)

    asyncio.run(write())


def test_a_journal_reads_back_what_was_written(path: Path) -> None:
    written(path, INTENT, ANSWER, Scored("s", 0.75))
    with Journal.open(path) as journal:
        assert journal.ledger.answers == {"k": ANSWER}
        assert journal.ledger.scores == {"s": 0.75}
        assert journal.ledger.spent_usd == pytest.approx(0.1)
        assert not journal.ledger.is_doubtful("k")


def test_a_torn_last_line_is_dropped(path: Path) -> None:
    written(path, INTENT, ANSWER)
    whole = path.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for end in range(start, len(whole) - 1):
        path.write_bytes(whole[:end])
        with Journal.open(path) as journal:
            assert journal.ledger.is_doubtful("k")
            assert journal.ledger.spent_usd == 0.5
        written(path, ANSWER)
        assert path.read_bytes() == whole


def test_a_journal_torn_in_its_first_line_is_begun_anew(path: Path) -> None:
    path.write_bytes(b'{"type":"calib')
    written(path, INTENT)
    with Journal.open(path) as journal:
        assert journal.ledger.calls == {"k": 1}


@pytest.mark.parametrize("wrong", [b"\x00\x00\n", b'{"type":"answer"}\n', b"[" * 9_999 + b"\n"])
def test_damage_in_the_middle_is_reported_with_its_line(path: Path, wrong: bytes) -> None:
    written(path, INTENT)
    path.write_bytes(path.read_bytes() + wrong + b"{}\n")
    with pytest.raises(JournalUnusable, match=r"calibration:3: is damaged"):
        Journal.open(path)


@pytest.mark.parametrize(
    "text", ['{"type":"calibration","version":2}\n', '{"type":"score","key":"k","quality":1.0}\n']
)
def test_a_journal_of_another_version_is_refused(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(JournalUnusable, match="no journal of this version"):
        Journal.open(path)


@pytest.mark.parametrize(
    "text", ["my only copy, no newline", '{"prompt": "x"}\n', '{"type":"calibration"}', "{}"]
)
def test_a_file_that_is_no_journal_is_left_unchanged(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o644)
    with pytest.raises(JournalUnusable, match="name another"):
        Journal.open(path)
    assert path.read_text() == text
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_journal_in_use_is_refused(path: Path) -> None:
    with Journal.open(path), pytest.raises(JournalUnusable, match="another calibration"):
        Journal.open(path)
    Journal.open(path).__exit__()


def test_a_journal_is_readable_by_its_owner_only(path: Path) -> None:
    path.touch(mode=0o644)
    with Journal.open(path):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_symbolic_link_is_refused_as_a_journal(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "precious")
    with pytest.raises(JournalUnusable, match="name a file"):
        Journal.open(path)
    assert not (tmp_path / "precious").exists()


def test_a_full_disk_stops_the_calibration(path: Path) -> None:
    """Nothing may be sent whose answer could not be kept."""
    written(path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, limits[1]))
    try:
        with pytest.raises(JournalUnusable, match="make room"):
            written(path, INTENT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with Journal.open(path) as journal:
        assert not journal.ledger.calls


def test_a_device_is_refused_as_a_journal() -> None:
    with pytest.raises(JournalUnusable, match="name a file"):
        Journal.open(Path("/dev/zero"))


def test_a_call_without_an_end_counts_at_its_upper_bound() -> None:
    assert Ledger.of([INTENT]).spent_usd == 0.5
    assert Ledger.of([INTENT, ANSWER]).spent_usd == pytest.approx(0.1)
    assert Ledger.of([INTENT, FAILURE]).spent_usd == 0.5
    again = Ledger.of([INTENT, Intent("k", 2, "d", 0.5), ANSWER])
    assert again.spent_usd == pytest.approx(0.6)
    assert again.calls == {"k": 2}
