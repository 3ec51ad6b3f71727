"""Why nothing can be said; every message says what would help."""

from __future__ import annotations

from router.domain.errors import RouterError


class NothingToEvaluate(RouterError):
    """No logged decision has what an estimate needs."""

    reason = "NOTHING_TO_EVALUATE"


class CandidateUnknown(RouterError):
    """No policy or plan has the name that was given."""

    reason = "CANDIDATE_UNKNOWN"
