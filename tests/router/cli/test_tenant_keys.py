"""`tenant key ...` and `tenant delete` against a real Redis."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from router.app.process import opened_storage
from router.cli import main
from router.config import load_config
from router.domain.tenants import hash_key
from tests.router.cli.test_tenants import created, owner_of


def run(config: Path, *words: str, typed: str | None = None) -> Result:
    named = {"ADAPTIVE_ROUTER_CONFIG": str(config)}
    return CliRunner().invoke(main, ["tenant", *words], env=named, input=typed)


def keys_of(config: Path, name: str = "team-a") -> list[dict[str, Any]]:
    told = run(config, "key", "list", name, "--json")
    assert told.exit_code == 0, told.output
    return list(json.loads(told.stdout)["keys"])


def test_several_keys_work_and_each_stops_by_its_id(config: Path) -> None:
    first = created(config, "team-a")
    second = run(config, "key", "create", "team-a").stdout.strip()
    assert [owner_of(key, config) for key in (first, second)] == [owner_of(first, config)] * 2
    listed = keys_of(config)
    assert [key["id"] for key in listed] == [hash_key(key)[:12] for key in (first, second)]
    assert [key["last_four"] for key in listed] == [first[-4:], second[-4:]]
    assert all(key["expires_at"] is None and not key["expired"] for key in listed)
    stopped = run(config, "key", "revoke", "team-a", listed[0]["id"])
    assert stopped.stdout == f"{listed[0]['id']} revoked\n"
    assert owner_of(first, config) is None
    assert owner_of(second, config) is not None
    assert first not in run(config, "key", "list", "team-a").output
    again = run(config, "key", "revoke", "team-a", listed[0]["id"])
    assert (again.exit_code, again.stderr.count("\n")) == (1, 1)
    assert "no key of this tenant has an id that begins so" in again.stderr


def test_a_list_shows_ids_and_ends_and_no_key(config: Path) -> None:
    first = created(config, "team-a", "--expires-in", "90d")
    shown = run(config, "key", "list", "team-a").stdout
    assert hash_key(first)[:12] in shown
    assert first[-4:] in shown
    assert first not in shown
    (told,) = keys_of(config)
    assert told["expires_at"].replace("+00:00", "Z") in shown  # in one line of 80 columns
    ends = datetime.fromisoformat(told["expires_at"])
    assert abs(ends - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=5)
    assert abs(datetime.fromisoformat(told["created_at"]) - datetime.now(UTC)) < timedelta(
        minutes=5
    )


@pytest.mark.parametrize(
    "command", [["create", "new"], ["rotate", "team-a"], ["key", "create", "team-a"]]
)
def test_every_new_key_takes_an_end_and_is_told_as_json(config: Path, command: list[str]) -> None:
    created(config, "team-a")
    made = run(config, *command, "--expires-at", "2999-12-31", "--json")
    told = json.loads(made.stdout)
    assert set(told) == {"name", "key", "id", "last_four", "created_at", "expires_at", "expired"}
    assert told["expires_at"] == "2999-12-31T00:00:00+00:00"
    assert told["id"] == hash_key(told["key"])[:12]
    assert owner_of(told["key"], config) is not None


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--expires-in", "soon"], "such as 90d"),
        (["--expires-in", "0d"], "such as 90d"),
        (["--expires-at", "2020-01-01"], "a time in the future"),
        (["--expires-at", "2999-01-01", "--expires-in", "1d"], "give one of"),
        (["--expires-in", "999999w"], "by year 9999"),
    ],
)
def test_a_wrong_end_is_refused_and_makes_no_key(
    config: Path, words: list[str], complaint: str
) -> None:
    created(config, "team-a")
    made = run(config, "key", "create", "team-a", *words)
    assert made.exit_code == 2
    assert complaint in " ".join(made.stderr.split())
    assert len(keys_of(config)) == 1
    assert run(config, "create", "team-b", *words).exit_code == 2
    assert run(config, "show", "team-b").exit_code == 1


@pytest.mark.parametrize("key_id", ["abc", "zzzzzzzz", "ar_aaaaaaaa", "*"])
def test_what_is_no_id_is_refused(config: Path, key_id: str) -> None:
    key = created(config, "team-a")
    refused = run(config, "key", "revoke", "team-a", key_id)
    assert refused.exit_code == 2
    assert "digits of a key's id" in " ".join(refused.stderr.split())
    assert owner_of(key, config) is not None


def test_a_deletion_asks_and_tells_what_remains(config: Path) -> None:
    key = created(config, "team-a", "--daily-usd", "2")
    run(config, "key", "create", "team-a")
    asked = run(config, "delete", "team-a", typed="n\n")
    assert asked.exit_code == 1
    assert "Delete the tenant team-a (0.000000 USD spent this month)?" in asked.stderr
    assert owner_of(key, config) is not None
    assert run(config, "delete", "team-a", typed="").exit_code == 1
    done = run(config, "delete", "team-a", typed="y\n")
    assert done.exit_code == 0, done.output
    first, *remains = done.stdout.splitlines()
    assert first == "team-a deleted: 2 keys, 0 cached answers"
    assert [line.split(": ")[1] for line in remains] == [
        "its keys, for a moment",
        "calls under way",
        "decisions and feedback",
        "what was learned",
        "answers under idempotency keys, conversations",
        "exported logs",
    ]
    assert owner_of(key, config) is None
    assert run(config, "show", "team-a").exit_code == 1
    assert json.loads(run(config, "list", "--json").stdout) == {"tenants": []}
    assert created(config, "team-a") != key


def test_a_deletion_is_one_json_object_and_asks_on_stderr_alone(config: Path) -> None:
    created(config, "team-a")
    asked = run(config, "delete", "team-a", "--json", typed="y\n")
    told = json.loads(asked.stdout)
    assert (told["name"], told["keys"], told["cached_answers"], told["under_way"]) == (
        *("team-a", 1),
        *(0, 0),
    )
    assert all(set(each) == {"what", "why"} for each in told["remains"])
    gone = run(config, "delete", "team-a", "--yes")
    assert (gone.exit_code, gone.stdout) == (1, "")
    assert gone.stderr.startswith("no tenant has this name")


def test_a_tenant_whose_limits_are_damaged_can_be_deleted(config: Path) -> None:
    key = created(config, "team-a")

    async def damage() -> None:
        async with opened_storage(load_config(config, {}), {}) as storage:
            await storage.client.call("HSET", storage.keys.tenants, "team-a", b"damage")

    asyncio.run(damage())
    assert run(config, "show", "team-a").exit_code == 1
    assert run(config, "delete", "team-a", "--yes").exit_code == 0
    assert owner_of(key, config) is None
    assert json.loads(run(config, "list", "--json").stdout) == {"tenants": []}


def test_a_policy_of_its_own_is_named_among_what_remains(config: Path) -> None:
    config.write_text(config.read_text() + "learning: {own_policies: [team-a]}\n")
    created(config, "team-a")
    told = json.loads(run(config, "delete", "team-a", "--yes", "--json").stdout)
    assert told["remains"][-1]["what"] == "its own policy"
    assert "learning.own_policies" in told["remains"][-1]["why"]
