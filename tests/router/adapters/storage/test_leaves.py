"""Keys, settings and the calendar."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from router.adapters.storage import StorageSettings
from router.adapters.storage.keys import Keys
from router.adapters.storage.quota import moment

DAY_MS = 86_400_000
KEYS = Keys("x:")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_what_callers_chose_stands_in_no_key() -> None:
    for key in (KEYS.session("acme", "my session"), KEYS.idempotency("acme", "my key " * 999)):
        assert "my" not in key
        assert len(key) < 60


def test_no_two_places_share_a_key() -> None:
    pairs = [("a", "bc"), ("ab", "c"), ("", "abc"), ("1:a", "bc"), ("a", "2:bc")]
    made = [KEYS.session(*pair) for pair in pairs] + [KEYS.idempotency(*pair) for pair in pairs]
    assert len(set(made)) == len(made)


def test_every_key_has_the_prefix() -> None:
    whole = [KEYS.tenants, KEYS.key_owners, KEYS.current_keys, KEYS.events, KEYS.latest]
    whole += [KEYS.snapshots, KEYS.lease, KEYS.fence, KEYS.answers, KEYS.usage("t")]
    whole += [KEYS.vectors("p"), KEYS.ages("p"), KEYS.health("d"), KEYS.decision("d")]
    whole += [KEYS.reservation("r"), KEYS.answer("e")]
    assert all(key.startswith("x:") for key in whole)
    assert len(set(whole)) == len(whole)


def test_a_decision_is_kept_for_its_join_window_at_least() -> None:
    settings = StorageSettings(join_window_s=1_000, retention_s=10)
    assert settings.keep_decisions_s > 1_000


@pytest.mark.parametrize(
    ("text", "day_left", "month_left"),
    [
        ("2026-01-31T12:00:00", 0.5, 0.5),
        ("2026-12-31T00:00:00", 1, 1),
        ("2028-02-28T00:00:00", 1, 2),
        ("2026-02-01T00:00:00", 1, 28),
        ("2026-07-31T18:00:00", 0.25, 0.25),
    ],
)
def test_days_and_months_end_at_midnight_utc(text: str, day_left: float, month_left: int) -> None:
    now = moment(at(text))
    assert now.day_left_ms == pytest.approx(day_left * DAY_MS, abs=2)
    assert now.month_left_ms == pytest.approx(month_left * DAY_MS, abs=2)


def test_days_and_months_have_numbers_of_their_own() -> None:
    texts = ["2025-12-31T23:59:59", "2026-01-01T00:00:00", "2026-01-31T00:00:00"]
    texts += ["2026-02-01T00:00:00", "2027-01-01T00:00:00"]
    moments = [moment(at(text)) for text in texts]
    assert len({m.day for m in moments}) == 5
    assert [m.month - moments[0].month for m in moments] == [0, 1, 1, 2, 13]
