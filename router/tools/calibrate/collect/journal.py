"""The journal: an append-only file of calls, each line on disk before anything depends on it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, TypeAlias

import msgspec

from router.domain.chat import Answer, FinishReason, Usage
from router.domain.errors import RouterError


class JournalUnusable(RouterError):
    """The journal is damaged, in use, of another version, or can't be written."""

    reason = "JOURNAL_UNUSABLE"


VERSION = 1


class Opened(msgspec.Struct, frozen=True, tag="calibration"):
    """The first line of the file."""

    version: int


class Intent(msgspec.Struct, frozen=True, tag="intent"):
    """Written before a call. key: of the question. most_usd: upper bound of its cost."""

    key: str
    call: int
    deployment: str
    most_usd: float


class Answered(msgspec.Struct, frozen=True, tag="answer"):
    """cost_usd: charged. most_usd: possibly charged, where the provider counted no tokens."""

    key: str
    call: int
    deployment: str
    model: str
    text: str
    finish_reason: FinishReason
    input_tokens: int
    output_tokens: int
    cost_usd: float
    latency_ms: float
    mean_logprob: float | None = None
    refusal: bool = False
    most_usd: float | None = None
    cached_tokens: int = 0
    written_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def charged_usd(self) -> float:
        """Returns the charge that the budget counts."""
        return self.cost_usd if self.most_usd is None else self.most_usd

    @property
    def answer(self) -> Answer:
        return Answer(
            text=self.text,
            finish_reason=self.finish_reason,
            usage=Usage(
                self.input_tokens,
                self.output_tokens,
                cached_tokens=self.cached_tokens,
                written_tokens=self.written_tokens,
                reasoning_tokens=self.reasoning_tokens,
            ),
            model=self.model,
            mean_logprob=self.mean_logprob,
            refusal=self.refusal,
        )


class Failed(msgspec.Struct, frozen=True, tag="failure"):
    """why: a provider error's reason. cost_usd: probably charged. most_usd: possibly charged."""

    key: str
    call: int
    deployment: str
    why: str
    cost_usd: float
    most_usd: float
    latency_ms: float
    retry_after_ms: int | None = None

    @property
    def charged_usd(self) -> float:
        """Returns the charge that the budget counts."""
        return self.most_usd


class Scored(msgspec.Struct, frozen=True, tag="score"):
    """A verifier's score of an answer."""

    key: str
    quality: float


Entry: TypeAlias = Opened | Intent | Answered | Failed | Scored


@dataclass(slots=True)
class Ledger:
    """The journal added up: which calls are paid, which are in doubt.

    answers: the last by question. doubts: calls without a written end. failures: by question, the
    last that may have been charged, else the last. calls: by question, the last number.
    """

    answers: dict[str, Answered] = field(default_factory=dict)
    failures: dict[str, Failed] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    doubts: dict[tuple[str, int], Intent] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    paid_usd: float = 0.0

    @staticmethod
    def of(entries: Iterable[Entry]) -> Ledger:
        ledger = Ledger()
        for entry in entries:
            ledger.add(entry)
        return ledger

    @property
    def spent_usd(self) -> float:
        """Returns what is paid, and the most that calls in doubt can have cost."""
        return self.paid_usd + sum(intent.most_usd for intent in self.doubts.values())

    @property
    def unsettled(self) -> Iterator[str]:
        """Yields questions without an answer that were sent and may have been charged."""
        yield from (key for key, _ in self.doubts)
        yield from (key for key, failure in self.failures.items() if failure.most_usd > 0)

    def is_doubtful(self, key: str) -> bool:
        return any(key == doubted for doubted, _ in self.doubts)

    def add(self, entry: Entry) -> None:
        match entry:
            case Intent():
                self.calls[entry.key] = max(entry.call, self.calls.get(entry.key, 0))
                self.doubts[entry.key, entry.call] = entry
            case Answered():
                self.doubts.pop((entry.key, entry.call), None)
                self.answers[entry.key] = entry
                self.paid_usd += entry.charged_usd
            case Failed():
                self.doubts.pop((entry.key, entry.call), None)
                known = self.failures.get(entry.key)
                if entry.most_usd > 0 or known is None or not known.most_usd:
                    self.failures[entry.key] = entry
                self.paid_usd += entry.charged_usd
            case Scored():
                self.scores[entry.key] = entry.quality
            case Opened():
                pass


MODE: Final = 0o600
"""The file holds answers to the user's own prompts."""
MAX_LINE_BYTES: Final = 32 << 20
_decode = msgspec.json.Decoder(Entry).decode
_encode = msgspec.json.Encoder().encode
_OPENED: Final = _encode(Opened(VERSION)) + b"\n"


class Journal:
    """A file of entries; open it with `Journal.open` as a context manager.

    Used by one process at a time; lives on one event loop.
    """

    def __init__(self, path: Path, descriptor: int, ledger: Ledger) -> None:
        self.path = path
        self.ledger = ledger
        self._descriptor = descriptor
        self._lock = asyncio.Lock()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open and read a journal; a last line that was cut off is dropped.

        Raises:
            JournalUnusable: it can't be opened, is in use, is damaged or no journal.

        """
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(path, flags, MODE)
        except OSError:
            raise JournalUnusable(f"{path}: name a file that this process can write") from None
        try:
            return cls(path, descriptor, _prepared(path, descriptor))
        except BaseException:
            os.close(descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
        self._descriptor = -1  # a late write must not go to whatever is opened next

    async def write(self, entry: Entry) -> None:
        """Append the entry durably. Raises JournalUnusable: nothing more may be sent then."""
        async with self._lock:
            # Shielded: a half-written line must not be written again.
            await asyncio.shield(asyncio.to_thread(_append, self.path, self._descriptor, entry))
            self.ledger.add(entry)


def _prepared(path: Path, descriptor: int) -> Ledger:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise JournalUnusable(f"{path}: name a file, not a device or a pipe")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise JournalUnusable(f"{path}: another calibration is using it: wait for it") from None
    first = os.pread(descriptor, len(_OPENED), 0)
    # The file is not changed before it is known to be a journal.
    if not _OPENED.startswith(first):
        raise JournalUnusable(f"{path}: is no journal of this version: name another with --journal")
    os.fchmod(descriptor, MODE)
    if first != _OPENED:
        os.ftruncate(descriptor, 0)
        _append(path, descriptor, Opened(VERSION))
    return Ledger.of(_entries(path, descriptor))


def _entries(path: Path, descriptor: int) -> Iterator[Entry]:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        number, end = 0, 0
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            if not line.endswith(b"\n"):
                if len(line) == MAX_LINE_BYTES:
                    raise _damaged(path, number)
                os.ftruncate(descriptor, end)
                return
            end += len(line)
            try:
                yield _decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise _damaged(path, number) from None


def _append(path: Path, descriptor: int, entry: Entry) -> None:
    line = _encode(entry) + b"\n"
    try:
        while line:
            line = line[os.write(descriptor, line) :]
        os.fsync(descriptor)
    except OSError:
        raise JournalUnusable(f"{path}: can't be written: make room on the disk") from None


def _damaged(path: Path, number: int) -> JournalUnusable:
    return JournalUnusable(
        f"{path}:{number}: is damaged or no journal: name another file with --journal, "
        "or remove the line to have its call made again"
    )
