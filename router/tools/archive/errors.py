"""What can go wrong with an archive; every message says what to do."""

from __future__ import annotations

from router.domain.errors import RouterError


class ArchiveUnusable(RouterError):
    """The folder, its manifest or a file of it can't be read or written."""

    reason = "ARCHIVE_UNUSABLE"


class ArchiveBroken(RouterError):
    """A file is missing or is not what the manifest says it was when it was written."""

    reason = "ARCHIVE_BROKEN"
