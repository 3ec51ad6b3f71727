"""How much a check is worth where callers say how good their answers were."""

from __future__ import annotations

from router.serving.feedback_rate import LEAST, MOST_TENANTS, FeedbackRate


def worth(telling: FeedbackRate, tenant: str, answers: int, told_every: int = 0) -> float:
    share = 1.0
    for n in range(answers):
        share = telling.served(tenant)
        if told_every and n % told_every == 0:
            telling.told(tenant)
    return share


def test_silent_callers_are_checked_as_the_config_says() -> None:
    assert worth(FeedbackRate(), "a", 1_000) == 1.0


def test_callers_who_tell_all_are_hardly_checked() -> None:
    assert worth(FeedbackRate(), "a", 300, 1) == LEAST


def test_callers_who_tell_of_half_are_checked_half_as_often() -> None:
    assert 0.45 < worth(FeedbackRate(), "a", 2_000, 2) < 0.55


def test_each_tenant_is_looked_at_by_itself() -> None:
    telling = FeedbackRate()
    worth(telling, "tells", 300, 1)
    assert telling.served("silent") == 1.0


def test_callers_who_fall_silent_are_checked_again() -> None:
    telling = FeedbackRate()
    worth(telling, "a", 1_000, 1)
    assert worth(telling, "a", 3_000) > 0.9


def test_feedback_of_long_ago_is_no_more_than_all() -> None:
    telling = FeedbackRate()
    for _ in range(100):
        telling.told("a")
    assert telling.served("a") == LEAST


def test_tenants_heard_long_ago_are_forgotten() -> None:
    telling = FeedbackRate()
    worth(telling, "first", 300, 1)
    for n in range(MOST_TENANTS):
        telling.served(f"t{n}")
    assert telling.served("first") == 1.0
