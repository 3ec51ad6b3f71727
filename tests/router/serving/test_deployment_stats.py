"""How long a deployment may take beside others, whom its silence holds back, what is hidden."""

from __future__ import annotations

import pytest

from router.domain.chat import Answer, FinishReason, Usage
from router.serving.deployment_stats import DeploymentStats, share_ms, tokens_heard


def known(latency_ms: float, *, live: bool = False) -> DeploymentStats:
    stats = DeploymentStats()
    for _ in range(20):
        stats.answered(latency_ms, 0.0, live=live)
    return stats


def silent(waited_ms: float, *, times: int = 1, tenant: str = "t") -> DeploymentStats:
    stats = DeploymentStats()
    for _ in range(times):
        stats.silent(tenant, waited_ms, 0.0)
    return stats


UNKNOWN = DeploymentStats()


@pytest.mark.parametrize(
    ("remaining_ms", "own", "others", "expected_ms"),
    [
        (5_000, UNKNOWN, [], 5_000),
        (5_000, UNKNOWN, [UNKNOWN], 3_500),
        (5_000, UNKNOWN, [UNKNOWN] * 3, 3_500),
        (5_000, UNKNOWN, [known(400)], 4_400),
        (5_000, UNKNOWN, [known(10)], 4_750),
        (5_000, UNKNOWN, [known(2_000)], 2_500),
        (5_000, UNKNOWN, [known(3_000)], 5_000),  # it could not answer after this one
        (5_000, UNKNOWN, [silent(2_000)], 5_000),  # nor, it seems, could this one
        (5_000, UNKNOWN, [silent(200)], 3_500),
        (5_000, known(3_000), [UNKNOWN], 4_500),
        (5_000, known(9_000), [UNKNOWN], 5_000),
        (600, UNKNOWN, [UNKNOWN], 500),
        (300, UNKNOWN, [UNKNOWN], 300),
    ],
)
def test_the_share_of_what_remains(
    remaining_ms: float, own: DeploymentStats, others: list[DeploymentStats], expected_ms: float
) -> None:
    share = share_ms(remaining_ms, own, others, live=False, failed=False)
    assert share == pytest.approx(expected_ms)


def test_after_a_failure_time_is_kept_for_known_deployments_only() -> None:
    assert share_ms(1_500, UNKNOWN, [UNKNOWN], live=False, failed=True) == 1_500
    assert share_ms(1_500, UNKNOWN, [known(200)], live=False, failed=True) == 1_200


def test_latencies_of_streams_and_of_whole_answers_are_kept_apart() -> None:
    stats = known(100, live=True)
    assert stats.usual_ms(live=True) == 100
    assert stats.usual_ms(live=False) is None


def test_silences_hold_back_their_tenant_for_a_while() -> None:
    stats = silent(1_000, times=2)
    assert not stats.holds_back("t", 1_000, 0.0)
    stats.silent("t", 1_000, 0.0)
    assert stats.holds_back("t", 2_000, 4.9)
    assert not stats.holds_back("t", 2_001, 4.9)  # who waits far longer may be answered
    assert not stats.holds_back("another", 1_000, 4.9)


def test_one_call_probes_and_a_further_silence_doubles_the_pause() -> None:
    stats = silent(1_000, times=3)
    assert [stats.holds_back("t", 1_000, 5.0) for _ in range(3)] == [False, True, True]
    stats.silent("t", 1_000, 6.0)
    assert stats.holds_back("t", 1_000, 15.9)
    assert not stats.holds_back("t", 1_000, 16.1)


def test_a_probe_that_tells_nothing_frees_its_place() -> None:
    stats = silent(1_000, times=3)
    assert not stats.holds_back("t", 1_000, 5.0)
    assert stats.holds_back("t", 1_000, 14.9)
    assert not stats.holds_back("t", 1_000, 15.1)


def test_calls_under_way_when_it_began_do_not_lengthen_the_pause() -> None:
    stats = silent(1_000, times=50)
    assert not stats.holds_back("t", 1_000, 5.1)


def test_a_whole_answer_to_anybody_ends_every_silence() -> None:
    stats = silent(1_000, times=9)
    stats.answered(10, 0.0, live=True)
    assert stats.holds_back("t", 1_000, 0.1)  # a first delta is no answer yet
    stats.completed(Answer("x", FinishReason.STOP, Usage(1, 1), "m"))
    assert not stats.holds_back("t", 1_000, 0.1)


def test_silence_to_three_tenants_holds_everybody_back() -> None:
    stats = DeploymentStats()
    for tenant in ("a", "b", "b", "b"):
        stats.silent(tenant, 1_000, 0.0)
    assert not stats.holds_back("quiet", 1_000, 0.1)
    stats.silent("c", 1_000, 0.0)
    assert stats.holds_back("quiet", 1_000, 0.1)


def waiting(*tenants: str, stats: DeploymentStats | None = None) -> DeploymentStats:
    stats = stats or DeploymentStats()
    for number, tenant in enumerate(tenants):
        stats.waits(number, tenant, 10.0)
    return stats


@pytest.mark.parametrize(
    ("tenants", "limit_ms", "now_s", "held"),
    [
        ("ttt", 4_000, 12.1, True),
        ("ttt", 4_000, 11.9, False),  # they have not waited for half of it
        ("ttt", 200, 10.4, False),  # nor for half a second
        ("tt", 4_000, 12.1, False),
        ("tab", 4_000, 12.1, True),
        ("aaaa", 4_000, 12.1, False),  # another tenant's alone
    ],
)
def test_calls_that_wait_for_long_hold_others_back(
    tenants: str, limit_ms: float, now_s: float, *, held: bool
) -> None:
    assert waiting(*tenants).holds_back("t", limit_ms, now_s) is held


def test_calls_that_wait_as_usual_or_beside_answers_hold_nobody_back() -> None:
    stats = waiting("t", "t", "t", stats=known(1_000))
    assert not stats.holds_back("t", 4_000, 12.9)
    assert stats.holds_back("t", 4_000, 13.1)
    stats.ended(0)
    assert not stats.holds_back("t", 4_000, 13.1)
    stats.waits(0, "t", 10.0)
    stats.answered(900, 10.9, live=False)
    assert not stats.holds_back("t", 4_000, 13.1)


def test_one_tenant_alone_never_makes_a_deployment_slow() -> None:
    stats = known(100)
    for _ in range(50):
        stats.silent("a", 60_000, 0.0)
    assert not stats.is_slow(60_000, live=False)
    for tenant in ("b", "c"):
        stats.silent(tenant, 60_000, 0.0)
    assert stats.is_slow(60_000, live=False)
    assert not stats.is_slow(400, live=False)
    assert not stats.is_slow(60_000, live=True)  # nothing is known of its streams


def test_tenants_that_are_remembered_are_bounded() -> None:
    stats = DeploymentStats()
    for number in range(3_000):
        stats.silent(f"t{number}", 1_000, 0.0)
    assert len(stats._silences) <= 1_002  # noqa: SLF001 - nothing else shows it


@pytest.mark.parametrize(
    ("text", "output_tokens", "hidden"),
    [("word " * 100, 100, 0), ("word " * 100, 160, 0), ("word " * 100, 1_125, 1_000), ("", 20, 0)],
)
def test_hidden_tokens_are_those_that_no_text_explains(
    text: str, output_tokens: int, hidden: int
) -> None:
    stats = DeploymentStats()
    assert stats.hidden_tokens is None
    stats.completed(Answer(text, FinishReason.STOP, Usage(9, output_tokens), "m"))
    stats.completed(Answer(text, FinishReason.STOP, Usage(9, 9_999, guessed=True), "m"))
    assert stats.hidden_tokens == hidden


@pytest.mark.parametrize(
    ("pieces", "characters", "tokens"), [(0, 0, 0), (10, 45, 10), (10, 400, 100), (3, 0, 3)]
)
def test_tokens_heard(pieces: int, characters: int, tokens: int) -> None:
    assert tokens_heard(pieces, characters) == tokens
