"""Refits of the context map, and training on kept decisions under them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bandit import Weights, make_policy
from bandit.context.fitting import MIN_PROMPTS
from bandit.context.layout import positions
from bandit.context.remap import MOST_BRIDGES, Refit
from router.domain.catalog import Plan
from router.domain.events import Decided, FeedbackGiven, Move, PolicyCommand
from router.domain.records import Attempt, AttemptOutcome, Mode, TurnFacts
from router.learning.learner_state import LearnerState
from router.learning.map_refit import TooFewSamples, as_before, refit, remapped_events
from router.learning.rewards import RewardSettings
from router.learning.training import Trainer
from router.ports.observer import Observer
from router.ports.survey import EmbeddingSample
from tests.router.tools.map.maps import PLANS, contexts, embeddings, land, policy, record, settings

CATALOGUE = {
    "cheap": Plan("cheap", ("cheap",), 0.0001),
    "reasoning": Plan("reasoning", ("reasoning",), 0.01),
}
TRAINER = Trainer(CATALOGUE, RewardSettings(), Observer())


def samples(count: int, seed: int = 5, version: str = "") -> list[EmbeddingSample]:
    version, features = version or land().version, land().shape.features
    rng = np.random.default_rng(seed)
    return [
        EmbeddingSample.of(version, row, rng.uniform(-1, 1, features).tolist())
        for row in embeddings(count, seed)
    ]


def test_a_refit_continues_the_map_before() -> None:
    before = Refit(land())
    made = refit(samples(400), before)
    assert made.map.version != land().version
    assert [bridge.source for bridge in made.bridges] == [land().version]
    old, new = land().centroids, made.map.centroids
    gaps = np.linalg.norm(old[:, None] - new[None], axis=2)
    shuffled = np.random.default_rng(0).permutation(32)
    assert np.trace(gaps**2) < (gaps[range(32), shuffled] ** 2).sum() / 2
    assert made.positions is not None
    earlier = positions(old)
    free = positions(new)
    assert ((made.positions - earlier) ** 2).sum() <= ((free - earlier) ** 2).sum() + 1e-9


def test_a_refit_ignores_the_order_of_samples() -> None:
    given = samples(300)
    first, second = refit(given, Refit(land())), refit(given[::-1], Refit(land()))
    assert first.to_bytes() == second.to_bytes()


def test_a_chain_of_refits_reads_all_but_the_oldest() -> None:
    made, versions = Refit(land()), [land().version]
    for seed in range(MOST_BRIDGES + 1):
        given = samples(300, seed, made.map.version)
        made = refit(given, made, seed)
        versions.append(made.map.version)
    assert [bridge.source for bridge in made.bridges] == versions[-2 : -2 - MOST_BRIDGES : -1]


def test_samples_of_earlier_maps_count_if_a_bridge_leads_from_them() -> None:
    once = refit(samples(300), Refit(land()))
    mixed = samples(200) + samples(200, 6, once.map.version)
    assert refit(mixed, once).map.version not in {once.map.version, land().version}
    with pytest.raises(TooFewSamples):
        refit(samples(200) + samples(200, 6, "unknown"), once)


@pytest.mark.parametrize(
    "bad",
    [
        replace(samples(1)[0], features=(1.0,)),
        replace(samples(1)[0], vector=b"\x01\x02"),
        replace(samples(1)[0], step=float("nan")),
    ],
    ids=["features", "width", "nan"],
)
def test_samples_of_another_shape_are_left_out(bad: EmbeddingSample) -> None:
    with pytest.raises(TooFewSamples, match=f"^{MIN_PROMPTS - 1} sampled"):
        refit([*samples(MIN_PROMPTS - 1), bad], Refit(land()))
    refit([*samples(MIN_PROMPTS), bad], Refit(land()))


def test_a_refit_without_samples_says_what_to_set() -> None:
    with pytest.raises(TooFewSamples, match="sample_embeddings"):
        refit([], Refit(land()))


def test_remapped_decisions_teach_under_the_new_map() -> None:
    """The plan `reasoning` is better in the same region under both maps."""
    made = refit(samples(400), Refit(land()))
    seen = contexts(land(), 400, seed=11)
    records = []
    for n, context in enumerate(seen):
        plan = PLANS[n % 2]
        good = plan == "reasoning" or context.projection[0] <= 0
        records.append(record(context, n, plan, 0.95 if good else 0.1))
    events, skipped = remapped_events(records, made.remap)
    assert skipped == 0
    fresh = make_policy("adaptive", settings(made.map), made.map.version, np.random.default_rng(0))
    assert TRAINER.train(LearnerState(fresh), events) == 800
    assert fresh.learned == 800
    actions = [outcome.action for outcome in TRAINER.outcomes(events)[:4:2]]
    right = 0
    for row, context in zip(embeddings(200, 12), contexts(land(), 200, seed=12), strict=True):
        moved = made.map.membership(row)
        new = made.remap.context(context)
        estimates = fresh.decide(new, actions, Weights(cost=0.0)).estimates
        gap = estimates["reasoning"].quality - estimates["cheap"].quality
        right += (gap > 0.4) == (context.projection[0] > 0)
        assert moved.shape == new.membership.shape
    assert right > 160


def test_decisions_with_an_unreadable_context_are_counted() -> None:
    made = refit(samples(300), Refit(land()))
    (context,) = contexts(land(), 1)
    strange = record(replace(context, version="unknown"), 1)
    cached = replace(record(context, 2), choice=None)
    unsettled = replace(record(context, 3, feedback=0.5), mode=Mode.DECIDE, settled=False)
    events, skipped = remapped_events([strange, cached, unsettled], made.remap)
    assert skipped == 1
    assert [outcome.quality for outcome in TRAINER.outcomes(events)] == [0.5]


def test_rates_are_learned_again_also_of_turns_where_nothing_was_chosen() -> None:
    made = refit(samples(300), Refit(land()))
    (context,) = contexts(land(), 1)
    call = Attempt("cheap", "d", "m", AttemptOutcome.ACCEPTED, "passed", 1.0, input_tokens=250)
    first, locked = (
        replace(record(context, n), attempts=(call,), turn=TurnFacts("a", n, 1_000)) for n in (1, 2)
    )
    live, again = (LearnerState(policy(land())) for _ in range(2))
    locked = replace(locked, choice=None, locked=True)
    for one in (first, locked):
        live.rates.learn(one)
    events, skipped = remapped_events([locked, first], made.remap)
    TRAINER.train_rest(again, events)
    assert skipped == 0
    assert again.rates.state() == live.rates.state()


def test_records_as_before_lack_what_later_events_say() -> None:
    (context,) = contexts(land(), 1)
    known, corrected, told, fresh = (record(context, n, feedback=n / 10) for n in range(4))
    later = [
        FeedbackGiven(corrected.id, 0.5, replaces=0.9),
        Decided(fresh),
        FeedbackGiven(corrected.id, 0.1, replaces=0.5),
        FeedbackGiven(told.id, 0.2),
        FeedbackGiven(fresh.id, 0.3),
        PolicyCommand(Move.ROLLED_BACK),
        FeedbackGiven("gone", 1.0),
    ]
    assert as_before([known, corrected, told, fresh], later) == [
        known,
        replace(corrected, feedback=0.9),
        replace(told, feedback=None),
        replace(fresh, feedback=None, settled=False),
    ]


def test_what_a_session_s_feedback_had_said_comes_back() -> None:
    (context,) = contexts(land(), 1)
    known, own, told = (record(context, n, feedback=0.1) for n in range(3))
    known = replace(known, session_share=0.5)
    later = [
        FeedbackGiven(known.id, 0.1, replaces=0.9, session_share=0.5),
        FeedbackGiven(own.id, 0.1, replaces=0.9, replaces_share=0.25),
        FeedbackGiven(told.id, 0.1, session_share=0.5),
    ]
    before = as_before([known, own, replace(told, session_share=0.5)], later)
    assert [(each.feedback, each.session_share) for each in before] == [
        (0.9, 0.5),
        (0.9, 0.25),
        (None, None),
    ]
    made = refit(samples(300), Refit(land()))
    events, _ = remapped_events([known], made.remap)
    assert [(o.quality, o.weight) for o in TRAINER.outcomes(events) if o.quality is not None] == [
        (0.1, 0.5)
    ]


def test_remapped_decisions_are_in_order_of_age() -> None:
    made = refit(samples(300), Refit(land()))
    (context,) = contexts(land(), 1)
    records = [record(context, n, "cheap", n / 10) for n in (3, 1, 2)]
    events, _ = remapped_events(records, made.remap)
    told = [o.quality for o in TRAINER.outcomes(events) if o.quality is not None]
    assert told == [0.1, 0.2, 0.3]
    assert policy(land()).learned == 0
