"""Clusters fitted anew to sampled prompts; what was learned under the old ones taught again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bandit.context.fitting import MIN_PROMPTS, fit_rows
from bandit.context.layout import positions, renumbered
from bandit.context.remap import MOST_BRIDGES, Refit, Remap, bridge_from
from bandit.errors import BanditError
from bandit.types import Outcome, Vector
from router.domain.catalog import Plan
from router.domain.errors import RouterError
from router.domain.events import Decided, Event, FeedbackGiven, decision_of
from router.domain.records import DecisionRecord
from router.learning.gate_examples import PlanLesson
from router.learning.rewards import RewardSettings
from router.learning.training import joined, lessons
from router.learning.upgraded_events import moved_record
from router.ports.survey import EmbeddingSample


class TooFewSamples(RouterError):
    """Not enough embeddings are kept for a map."""

    reason = "TOO_FEW_SAMPLES"


@dataclass(frozen=True, slots=True)
class Taught:
    """What kept decisions teach under the new map. passed_over: decisions it cannot read."""

    outcomes: Sequence[Outcome]
    lessons: Sequence[PlanLesson]
    passed_over: int


def refit(samples: Sequence[EmbeddingSample], before: Refit, seed: int = 0) -> Refit:
    """A map of the samples that goes on from an earlier one.

    Clusters keep the numbers of the nearest earlier ones, the layout is turned onto the earlier
    layout, and contexts of the earlier maps can be read.

    The order of the samples does not matter.

    Raises:
        TooFewSamples: fewer than a fit needs; samples of maps that nothing leads from count not.

    """
    ordered = sorted(samples, key=lambda s: (s.version, s.vector, s.step, s.features))
    read = [(s.embedding(), raw) for s in ordered if (raw := _raw(s, before)) is not None]
    width = before.map.centre.shape
    read = [(e, raw) for e, raw in read if e.shape == width and np.isfinite(e).all()]
    if len(read) < MIN_PROMPTS:
        raise TooFewSamples(
            f"{len(read)} sampled embeddings are too few, {MIN_PROMPTS} are needed: set "
            "map: {sample_embeddings: 4000} and serve on, or use scripts/fit_context"
        )
    embeddings = np.stack([embedding for embedding, _ in read])
    made = renumbered(fit_rows(embeddings, np.stack([raw for _, raw in read]), seed), before.map)
    old = before.positions
    if old is None:
        old = positions(before.map.centroids)
    bridges = (bridge_from(before.map, embeddings), *before.bridges)
    others = tuple(bridge for bridge in bridges if bridge.source != made.version)
    return Refit(made, others[:MOST_BRIDGES], positions(made.centroids, old))


def as_before(
    records: Iterable[DecisionRecord], later: Sequence[Event]
) -> Sequence[DecisionRecord]:
    """The records without what later events, in the log's order, tell of them."""
    kept = {record.id: record for record in records}
    for event in reversed(later):
        record = kept.get(decision_of(event) or "")
        if record is None:
            continue
        if isinstance(event, Decided):
            kept[record.id] = replace(record, settled=False)
        elif isinstance(event, FeedbackGiven):
            kept[record.id] = replace(record, feedback=event.replaces)
    return list(kept.values())


def taught_by(
    records: Iterable[DecisionRecord],
    remap: Remap,
    plans: Mapping[str, Plan],
    rewards: RewardSettings,
) -> Taught:
    """Outcomes and lessons of decisions on record, the oldest first, in contexts of the new map.

    What the log held besides the decisions and their feedback, re-asks and audits, is gone.
    """
    events: list[Event] = []
    known: dict[str, DecisionRecord | None] = {}
    passed_over = 0
    for record in sorted(records, key=lambda record: (record.created_ms, record.id)):
        moved = moved_record(record, remap)
        if moved is None:
            passed_over += record.choice is not None
            continue
        known[record.id] = moved
        events += _events(moved)
    return Taught(
        outcomes=joined(events, known, plans, rewards),
        lessons=lessons(events, known, plans, rewards),
        passed_over=passed_over,
    )


def _events(record: DecisionRecord) -> Iterator[Event]:
    if record.settled:
        yield Decided(record)
    if record.feedback is not None:
        yield FeedbackGiven(record.id, record.feedback)


def _raw(sample: EmbeddingSample, before: Refit) -> Vector | None:
    """Features before centring, by the map they were sampled under."""
    features = np.asarray(sample.features)
    current = before.map
    if sample.version == current.version and features.shape == current.feature_means.shape:
        return features * current.feature_scales + current.feature_means
    bridge = before.remap.bridges.get(sample.version)
    try:
        return None if bridge is None else bridge.raw_features(features)
    except BanditError:
        return None
