"""Scripts that may be sent again are named by their files."""

from __future__ import annotations

from importlib.resources import files

from router.adapters.storage.scripts import REPEATABLE_SCRIPTS, load


def test_every_name_is_of_a_script() -> None:
    folder = files("router.adapters.storage").joinpath("lua")
    kept = {file.name.removesuffix(".lua") for file in folder.iterdir()}
    assert sorted(REPEATABLE_SCRIPTS - kept) == []


def test_only_what_is_named_may_be_sent_again() -> None:
    assert load("events_common", "decision_record").is_repeatable
    assert not load("events_common", "policy_command").is_repeatable
    assert not load("health_common", "health_failed").is_repeatable


def test_an_operator_s_change_is_not_made_again_after_a_later_one() -> None:
    assert not load("tenants_common", "tenant_rekey").is_repeatable
    assert not load("tenant_limit").is_repeatable
