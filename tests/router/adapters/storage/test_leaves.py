"""Keys and settings."""

from __future__ import annotations

from router.adapters.storage import StorageSettings
from router.adapters.storage.keys import Keys

KEYS = Keys("x:")


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
    whole += [KEYS.snapshots, KEYS.lease, KEYS.fence, KEYS.usage("t")]
    whole += [KEYS.wordings("p"), KEYS.health("d"), KEYS.decision("d")]
    whole += [KEYS.reservation("r"), KEYS.answer("e"), KEYS.reserved_until, KEYS.settled("t")]
    assert all(key.startswith("x:") for key in whole)
    assert len(set(whole)) == len(whole)


def test_a_decision_is_kept_for_its_join_window_at_least() -> None:
    settings = StorageSettings(join_window_s=1_000, retention_s=10)
    assert settings.keep_decisions_s > 1_000
