"""Refit of the context map to sampled prompts, and what kept decisions teach under it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from bandit.context.fitting import MIN_PROMPTS, fit_rows
from bandit.context.layout import positions, renumbered
from bandit.context.remap import MOST_BRIDGES, Refit, Remap, bridge_from
from bandit.errors import BanditError
from bandit.types import Vector
from router.domain.errors import RouterError
from router.domain.events import Decided, Event, FeedbackGiven, decision_of
from router.domain.records import DecisionRecord
from router.learning.training import JoinedEvent
from router.learning.upgrades import moved_record
from router.ports.survey import EmbeddingSample


class TooFewSamples(RouterError):
    """Not enough embeddings are kept for a map."""

    reason = "TOO_FEW_SAMPLES"


def refit(samples: Sequence[EmbeddingSample], before: Refit, seed: int = 0) -> Refit:
    """Fit a map to the samples that continues an earlier one.

    Clusters keep the numbers of the nearest earlier ones, the layout is turned onto the earlier
    layout, and contexts of the earlier maps can be read.
    The order of the samples does not matter.

    Raises:
        TooFewSamples: fewer than a fit needs, without those of maps that can't be read.

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
    """Returns the records without the effects of later events, which are in the log's order."""
    kept = {record.id: record for record in records}
    for event in reversed(later):
        record = kept.get(decision_of(event) or "")
        if record is None:
            continue
        if isinstance(event, Decided):
            kept[record.id] = replace(record, settled=False)
        elif isinstance(event, FeedbackGiven):
            share = event.session_share or event.replaces_share
            share = None if event.replaces is None else share
            kept[record.id] = replace(record, feedback=event.replaces, session_share=share)
    return list(kept.values())


def remapped_events(
    records: Iterable[DecisionRecord], remap: Remap
) -> tuple[list[JoinedEvent], int]:
    """Returns the events of stored decisions, the oldest first, in contexts of the new map.

    Where nothing was chosen rates are learned all the same. Re-asks and audits are not on record,
    so they are missing. The second result is the number of decisions that the new map cannot read.
    """
    events: list[JoinedEvent] = []
    skipped = 0
    for record in sorted(records, key=lambda record: (record.created_ms, record.id)):
        moved = moved_record(record, remap) if record.choice else record
        if moved is None:
            skipped += 1
            continue
        events += [JoinedEvent(event, moved) for event in _events(moved)]
    return events, skipped


def _events(record: DecisionRecord) -> Iterator[Event]:
    if record.settled:
        yield Decided(record)
    if record.feedback is not None:
        yield FeedbackGiven(record.id, record.feedback, session_share=record.session_share)


def _raw(sample: EmbeddingSample, before: Refit) -> Vector | None:
    """Returns features before centring, by the map they were sampled under."""
    features = np.asarray(sample.features)
    current = before.map
    if sample.version == current.version and features.shape == current.feature_means.shape:
        return features * current.feature_scales + current.feature_means
    bridge = before.remap.bridges.get(sample.version)
    try:
        return None if bridge is None else bridge.raw_features(features)
    except BanditError:
        return None
