"""The ledger of evidence: prompts whose outcome is known for every arm, and what they cost.

It learns from the log alone, in its order; routers read off it what one more prompt is worth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Final, TypeVar

from router.domain.events import (
    ArmAnswer,
    Decided,
    Event,
    EvidenceBought,
    EvidenceSource,
    FeedbackGiven,
    is_drawn,
)
from router.domain.records import DecisionRecord
from router.learning.rectifier import Rectifier

MOST_WAITING: Final = 2_000
"""Scores that wait for gold, and gold that waits for scores."""
FIRST: Final = 100
"""Prompts that are asked for most, and the newest whose times are known."""
DAY_MS: Final = 86_400_000.0
MOST_MODELS: Final = 8
"""Names that the models of one arm are known by: its deployments may answer under several."""
PRIOR_SPREAD: Final = 0.16
PRIOR_PAIRS: Final = 20.0
_FACTS: Final = 8

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KnownPrompt:
    """A prompt that every arm has answered. membership: by cluster."""

    qualities: Mapping[str, float]
    membership: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class RectifiedEvidence:
    """Evidence with rectified scores, and what they count beside feedback."""

    event: EvidenceBought
    weight: float


class EvidenceLedger:
    """Counts what is known. saved: by `state`. Raises ValueError, TypeError, KeyError.

    prompts: known in full, bought or calibrated. calibrated, calibrated_usd, calibrated_ms: of
    these by calibration, what that cost, and when it was. spent_usd, worth_usd: paid for what was
    bought, and what that was expected to be worth. known: of each arm, since its models and prices
    are what they are. heard: feedback on other requests that it answered. near: by cluster.
    """

    def __init__(self, saved: Mapping[str, Any] | None = None) -> None:
        saved = saved or {}
        facts = [float(number) for number in saved.get("facts", [0.0] * _FACTS)]
        if len(facts) != _FACTS or not all(map(math.isfinite, facts)):
            raise ValueError("no facts of evidence")
        self.prompts, self.bought, self.spent_usd, self.worth_usd, *rest = facts
        self._pairs, self._squares, self._requests, self._at_ms = rest
        calibrated = [float(number) for number in saved.get("calibrated", [0.0] * 3)]
        self.calibrated, self.calibrated_usd, self.calibrated_ms = calibrated
        self._first_ms = float(saved.get("first_ms", 0.0))
        self._known = {str(name): float(count) for name, count in saved.get("known", ())}
        self._heard = {str(name): float(count) for name, count in saved.get("heard", ())}
        self._terms = {str(name): [str(t) for t in told] for name, *told in saved.get("terms", ())}
        self._times = [float(at) for at in saved.get("times", ())]
        self._near = {int(place): float(weight) for place, weight in saved.get("near", ())}
        self._scores = {str(n): (str(arm), float(s)) for n, arm, s in saved.get("scores", ())}
        self._gold = {str(name): float(quality) for name, quality in saved.get("gold", ())}
        self.rectifier = Rectifier(saved.get("rectifier"))
        self._scored_by = str(saved.get("scored_by", ""))

    @property
    def is_blank(self) -> bool:
        return not (self._requests or self.bought or self.calibrated)

    @property
    def newest_ms(self) -> float:
        """Returns the time of the newest prompt known, 0 for none."""
        return max([self.calibrated_ms, *self._times[-1:]])

    def state(self) -> dict[str, Any]:
        # Lists, because the order of what waits is part of the state: the oldest leaves first.
        told = [self.prompts, self.bought, self.spent_usd, self.worth_usd]
        rest = [self._pairs, self._squares, self._requests, self._at_ms]
        calibrated = [self.calibrated, self.calibrated_usd, self.calibrated_ms]
        parts = {"calibrated": calibrated} if self.calibrated else {}
        return (
            parts
            | ({"scored_by": self._scored_by} if self._scored_by else {})
            | {
                "facts": told + rest,
                "first_ms": self._first_ms,
                "known": [[name, count] for name, count in self._known.items()],
                "heard": [[name, count] for name, count in self._heard.items()],
                "terms": [[name, *terms] for name, terms in self._terms.items()],
                "times": self._times,
                "near": [[place, weight] for place, weight in self._near.items()],
                "scores": [[name, arm, score] for name, (arm, score) in self._scores.items()],
                "gold": [[name, quality] for name, quality in self._gold.items()],
                "rectifier": self.rectifier.state(),
            }
        )

    def observe(self, event: Event, record: DecisionRecord) -> RectifiedEvidence | None:
        """Count the event. Returns evidence with rectified scores; None for other events."""
        if isinstance(event, EvidenceBought):
            return self._buy(event, record)
        if isinstance(event, Decided):
            self._count(record)
        elif isinstance(event, FeedbackGiven):
            self._hear(event, record)
        return None

    def calibrate(
        self,
        prompts: Sequence[KnownPrompt],
        terms: Mapping[str, str],
        cost_usd: float,
        at_ms: float,
    ) -> None:
        """Count prompts of a calibration. terms: by arm, see `known`."""
        self.calibrated += len(prompts)
        self.calibrated_usd += cost_usd
        self.calibrated_ms = at_ms
        for arm, digest in terms.items():
            self._terms[arm] = [digest, ""]
        for one in prompts:
            self._know(one, at_ms)

    def known(self, arm: str, terms: str, changed_ms: float = 0.0) -> float:
        """Returns how many prompts are known of an arm as it is today.

        terms: digest of its models and prices. changed_ms: when it was last seen to change.
        """
        if terms not in ("", *self._terms.get(arm, [""])[:1]):
            return 0.0
        count = self._known.get(arm, 0.0)
        if not changed_ms or self._times[:1] > [changed_ms]:
            return count
        return min(count, float(sum(at > changed_ms for at in self._times)))

    def labels(self, arm: str, terms: str, changed_ms: float = 0.0) -> float:
        """Returns how many scores there are of an arm's answers as it is today, feedback as well.

        terms, changed_ms: as of `known`. Feedback on an arm that has changed is not counted.
        """
        same = terms in ("", self._terms.get(arm, [terms])[0])
        heard = self._heard.get(arm, 0.0) if same and not changed_ms else 0.0
        return self.known(arm, terms, changed_ms) + heard

    def near(self, memberships: tuple[float, ...]) -> float:
        """Returns how many prompts are known of the clusters of one that asks."""
        places = ((place, share) for place, share in enumerate(memberships) if share)
        return sum(share * self._near.get(place, 0.0) for place, share in places)

    @property
    def spread(self) -> float:
        """Returns the variance of the difference in quality of two arms on a prompt."""
        return (self._squares + PRIOR_PAIRS * PRIOR_SPREAD) / (self._pairs + PRIOR_PAIRS)

    @property
    def requests_per_day(self) -> float:
        """Returns how many come, by what came lately."""
        age = (self._at_ms - self._first_ms) / DAY_MS
        return self._requests / -math.expm1(-max(age, 1 / 24)) if self._requests else 0.0

    def _buy(self, event: EvidenceBought, record: DecisionRecord) -> RectifiedEvidence:
        self.bought += 1
        self.spent_usd += event.cost_usd
        self.worth_usd += event.value_usd
        self._begin(event.source)
        # A verifier is taken as it is, whatever was found of a judge that scored before it.
        is_rectified = event.source is not EvidenceSource.VERIFIER
        weight = (self.rectifier if is_rectified else Rectifier()).weight(event.source)
        for answer in event.arms:
            self._see(event.source, answer, record.id)
        arms = tuple(map(self._rectified, event.arms)) if is_rectified else event.arms
        if event.is_full:
            membership = record.choice.context.membership if record.choice else ()
            qualities = {answer.arm: answer.quality or 0.0 for answer in arms}
            self._know(KnownPrompt(qualities, membership), float(record.created_ms))
        return RectifiedEvidence(replace(event, arms=arms), weight)

    def _begin(self, source: EvidenceSource) -> None:
        """Forget what was found of who scored before; nothing is to be found of a verifier."""
        if source is EvidenceSource.VERIFIER or source == self._scored_by:
            return
        if self._scored_by:
            self.rectifier = Rectifier()
            self._scores.clear()
        self._scored_by = str(source)

    def _rectified(self, answer: ArmAnswer) -> ArmAnswer:
        if answer.quality is None or answer.failed:
            return answer
        return replace(answer, quality=self.rectifier.rectified(answer.arm, answer.quality))

    def _see(self, source: EvidenceSource, answer: ArmAnswer, decision_id: str) -> None:
        """Note an answer's score, and the terms it was given on."""
        digest, *models = self._terms.get(answer.arm, [answer.terms])
        models = [model for model in models if model]
        if _differ(digest, answer.terms):
            self._known[answer.arm] = self._heard[answer.arm] = 0.0
            models = []
        if answer.model and answer.model not in models:
            if models:
                self._known[answer.arm] = self._heard[answer.arm] = 0.0
            models = [*models, answer.model][-MOST_MODELS:]
        # Calibration told no model; the first answer does.
        self._terms[answer.arm] = [answer.terms or digest, *(models or [""])]
        if answer.quality is None or answer.failed or source is EvidenceSource.VERIFIER:
            return
        self.rectifier.see(answer.arm, answer.quality)
        if answer.served:
            self._match(decision_id, answer.arm, answer.quality)

    def _match(self, decision_id: str, arm: str, score: float) -> None:
        gold = self._gold.pop(decision_id, None)
        if gold is None:
            _keep(self._scores, decision_id, (arm, score))
        else:
            self.rectifier.compare(arm, score, gold)

    def _hear(self, event: FeedbackGiven, record: DecisionRecord) -> None:
        """Take feedback as gold, once for a decision: what corrects it comes too late."""
        if not event.is_label or event.replaces is not None:
            return
        scored = self._scores.pop(record.id, None)
        if scored is not None:
            self.rectifier.compare(*scored, event.quality)
        elif is_drawn(record.id, record.evidence_share):
            _keep(self._gold, record.id, event.quality)
        elif not self.is_blank:
            self._heard[record.arm] = self._heard.get(record.arm, 0.0) + 1

    def _know(self, prompt: KnownPrompt, at_ms: float) -> None:
        self.prompts += 1
        self._times = [*self._times, at_ms][-FIRST:]
        for arm in prompt.qualities:
            self._known[arm] = self._known.get(arm, 0.0) + 1
        for one, other in combinations(prompt.qualities.values(), 2):
            self._pairs, self._squares = self._pairs + 1, self._squares + (one - other) ** 2
        for place, share in enumerate(prompt.membership):
            if share:
                self._near[place] = self._near.get(place, 0.0) + share

    def _count(self, record: DecisionRecord) -> None:
        """Count a request; the first one that evidence might be bought of begins it."""
        begun = self._requests or self.bought
        if record.choice is None or not (begun or record.evidence_share):
            return
        at_ms = float(record.created_ms)
        if not self._requests:
            self._first_ms = self._at_ms = at_ms
        if self._at_ms - at_ms > DAY_MS:
            # A clock was ahead; time goes on from here, and not from when it is reached.
            self._at_ms, self._first_ms = at_ms, min(self._first_ms, at_ms)
        passed = max(0.0, at_ms - self._at_ms) / DAY_MS
        self._requests = self._requests * math.exp(-passed) + 1
        self._at_ms = max(self._at_ms, at_ms)


def renamed_ledger(saved: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Returns a ledger's state under the names in use. Raises KeyError, TypeError, ValueError."""

    def named(rows: list[list[Any]], place: int = 0) -> list[list[Any]]:
        return [[*r[:place], names.get(r[place], r[place]), *r[place + 1 :]] for r in rows]

    judge = saved["rectifier"]
    return saved | {
        "known": named(saved["known"]),
        "heard": named(saved.get("heard", [])),
        "terms": named(saved["terms"]),
        "scores": named(saved["scores"], 1),
        "rectifier": judge | {"arms": named(judge["arms"])},
    }


def _differ(before: str, told: str) -> bool:
    """Returns whether terms are others; what was not told differs not."""
    return bool(before and told and before != told)


def _keep(waiting: dict[str, T], name: str, value: T) -> None:
    waiting[name] = value
    if len(waiting) > MOST_WAITING:
        del waiting[next(iter(waiting))]
