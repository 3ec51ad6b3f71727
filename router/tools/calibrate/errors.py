"""What can go wrong in a calibration; every message says what to change."""

from __future__ import annotations

from router.domain.errors import RouterError


class PromptsInvalid(RouterError):
    """The file of prompts holds mistakes; the message has one line for each."""

    reason = "PROMPTS_INVALID"


class JournalUnusable(RouterError):
    """The journal is damaged, in use, of another version, or can't be written."""

    reason = "JOURNAL_UNUSABLE"


class SnapshotExists(RouterError):
    """There is a snapshot already, and nobody said that it may be replaced."""

    reason = "SNAPSHOT_EXISTS"


class LearnerAtWork(RouterError):
    """A learner holds the lease, and would publish over a calibrated snapshot."""

    reason = "LEARNER_AT_WORK"


class NothingLearned(RouterError):
    """No answer was had, or none could be scored."""

    reason = "NOTHING_LEARNED"


class Stopped(RouterError):
    """The user stopped it; what was paid is in the journal."""

    reason = "STOPPED"
