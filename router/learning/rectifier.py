"""Scores of a judge, corrected by the gold there is: what callers said of answers it had scored.

Prediction-powered inference (Angelopoulos, Bates, Fannjiang, Jordan and Zrnic, Science 382, 2023):
the mean of many scores plus the mean of (gold - score) over the few that have gold is unbiased
however wrong the judge is. The difference is one number for all arms, and one for each arm as far
as its gold tells it. How much a score counts beside feedback is its precision: the share of the
variance of gold that it tells.
"""

from __future__ import annotations

from typing import Any, Final

from router.domain.events import EvidenceSource

SHRINK: Final = 10.0
"""Gold of one arm, and of all of them, that weighs as much as no difference."""
PRIOR: Final = 20.0
"""Gold that weighs as much as the assumption on precision."""
ASSUMED: Final = {
    EvidenceSource.VERIFIER: 1.0,
    EvidenceSource.JUDGE: 0.6,
    EvidenceSource.AGREEMENT: 0.6,
}
LEAST: Final = 0.05
TELLING: Final = 0.05
"""Variance of gold from which on it tells who judges well."""
_SUMS: Final = 5


class Rectifier:
    """Sums over scored answers.

    saved: what `state` gave. Raises ValueError, TypeError or KeyError for anything else.
    """

    def __init__(self, saved: dict[str, Any] | None = None) -> None:
        saved = saved or {"pairs": [0.0] * (_SUMS + 1), "arms": []}
        self._pairs = _numbers(saved["pairs"], _SUMS + 1)
        self._arms = {str(name): _numbers(row, 4) for name, *row in saved["arms"]}

    @property
    def gold(self) -> int:
        """Return the number of scored answers that callers judged too."""
        return int(self._pairs[0])

    def state(self) -> dict[str, Any]:
        return {"pairs": self._pairs, "arms": [[name, *row] for name, row in self._arms.items()]}

    def see(self, arm: str, score: float) -> None:
        """Count a score, of which no gold may ever come."""
        row = self._arms.setdefault(arm, [0.0] * 4)
        row[0], row[1] = row[0] + 1, row[1] + score

    def compare(self, arm: str, score: float, gold: float) -> None:
        """Learn from an answer that has both."""
        row = self._arms.setdefault(arm, [0.0] * 4)
        row[2], row[3] = row[2] + 1, row[3] + gold - score
        found = (1.0, score, gold, score * score, gold * gold, score * gold)
        self._pairs = [total + one for total, one in zip(self._pairs, found, strict=True)]

    def shift(self, arm: str) -> float:
        """Return how much more the arm's answers are worth than they are scored, on the mean."""
        count, scores, golds = self._pairs[:3]
        common = (golds - scores) / (count + SHRINK)
        row = self._arms.get(arm, [0.0] * 4)
        return (row[3] + SHRINK * common) / (row[2] + SHRINK) if count else 0.0

    def rectified(self, arm: str, score: float) -> float:
        """Return the score moved towards 0 or 1, so that the mean of the arm's moves by its shift.

        >>> rectifier = Rectifier()
        >>> rectifier.rectified("a", 0.8)
        0.8
        """
        shift, row = self.shift(arm), self._arms.get(arm)
        if not shift or row is None or not row[0]:
            return score
        mean = row[1] / row[0]
        if shift < 0:
            return score * max(0.0, 1 + shift / mean) if mean > 0 else score
        return 1 - (1 - score) * max(0.0, 1 - shift / (1 - mean)) if mean < 1 else score

    def weight(self, source: EvidenceSource) -> float:
        """Return how much a rectified score counts beside feedback, in [LEAST, 1]."""
        count, scores, golds, scores2, golds2, both = self._pairs
        assumed = ASSUMED[source]
        if not count:
            return assumed
        spread = golds2 / count - (golds / count) ** 2
        scored = scores2 / count - (scores / count) ** 2
        joint = both / count - scores * golds / count**2
        told = max(0.0, joint) ** 2 / (spread * scored) if spread > 0 and scored > 0 else 0.0
        # Where nearly all gold is alike nothing can be told of who judges well.
        counted = count * min(1.0, spread / TELLING)
        weight = (PRIOR * assumed + counted * told) / (PRIOR + counted)
        return min(1.0, max(LEAST, weight))


def _numbers(row: Any, count: int) -> list[float]:
    numbers = [float(number) for number in row]
    if len(numbers) != count or not all(abs(number) < 1e15 for number in numbers):  # noqa: PLR2004 - any bound
        raise ValueError("no sums of scores")
    return numbers
