"""`tenant ...` against a real Redis that another process may be using."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from router.app.process import opened_storage
from router.cli import main
from router.config import load_config
from router.domain.tenants import Reservation, Tenant, hash_key
from tests.contract.ledger import later


def run(config: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["tenant", *words, "--config", str(config)])


def owner_of(key: str, config: Path) -> Tenant | None:
    async def find() -> Tenant | None:
        async with opened_storage(load_config(config, {}), {}) as storage:
            return await storage.tenants.find(hash_key(key))

    return asyncio.run(find())


def created(config: Path, *words: str) -> str:
    result = run(config, "create", *words)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def test_create_prints_a_working_key(config: Path) -> None:
    key = created(config, "team-a", "--requests-per-minute", "60", "--daily-usd", "1.5")
    assert re.fullmatch(r"ar_[A-Za-z0-9_-]{43}", key)
    tenant = owner_of(key, config)
    assert tenant is not None
    assert tenant.name == "team-a"
    assert (tenant.limits.requests_per_minute, tenant.limits.daily_usd) == (60, 1.5)
    assert created(config, "team-b") != key


def test_create_refuses_a_name_that_exists(config: Path) -> None:
    created(config, "team-a")
    result = run(config, "create", "team-a")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "a tenant of this name exists: choose another name or rotate its key\n"


def test_rotate_replaces_the_key_and_revoke_stops_it(config: Path) -> None:
    old = created(config, "team-a")
    new = run(config, "rotate", "team-a").stdout.strip()
    assert owner_of(old, config) is None
    assert owner_of(new, config) == Tenant("team-a")
    assert run(config, "revoke", "team-a").exit_code == 0
    assert owner_of(new, config) is None


def test_limit_changes_only_the_named_limits(config: Path) -> None:
    created(config, "team-a", "--tokens-per-minute", "1000", "--arm", "cheap")
    assert run(config, "limit", "team-a", "--monthly-usd", "20").exit_code == 0
    assert run(config, "show", "team-a").stdout.splitlines() == [
        "requests_per_minute: unlimited",
        "tokens_per_minute: 1000",
        "daily_usd: unlimited",
        "monthly_usd: 20.0",
        "arms: cheap",
        "observe: as configured",
        "degraded: yes without a budget",
        "evidence: yes",
    ]
    freed = run(config, "limit", "team-a", "--tokens-per-minute", "0", "--every-arm")
    assert freed.exit_code == 0
    shown = run(config, "show", "team-a").stdout
    assert "tokens_per_minute: unlimited" in shown
    assert "arms: all" in shown


def test_a_tenant_is_observed_by_an_arm_or_not_at_all(config: Path) -> None:
    created(config, "team-a", "--observe", "cheap")
    assert "observe: cheap" in run(config, "show", "team-a").stdout
    assert run(config, "limit", "team-a", "--observe", "off").exit_code == 0
    assert "observe: off" in run(config, "show", "team-a").stdout
    assert run(config, "limit", "team-a", "--observe", "").exit_code == 0
    assert "observe: as configured" in run(config, "show", "team-a").stdout
    wrong = run(config, "limit", "team-a", "--observe", "nope")
    assert wrong.exit_code == 2
    assert "nope is no arm: choose of" in wrong.stderr


def test_usage_and_release_show_what_is_held_by_nobody(config: Path) -> None:
    created(config, "team-a", "--daily-usd", "2", "--requests-per-minute", "10")

    async def leave() -> None:
        """A router dies with one request under way, and another lives; one has ended before."""
        async with opened_storage(load_config(config, {}), {}) as storage:
            tenant, quota = await storage.tenants.show("team-a"), storage.quota
            orphan = Reservation("left", "team-a", 0, 0.5, expected_usd=0.25)
            await quota.reserve(tenant, orphan)
            await later(storage, 3_600)
            for name in ("ended", "living"):
                await quota.reserve(tenant, Reservation(name, "team-a", 0, 0.25))
            await quota.settle(Reservation("ended", "team-a", 0, 0.25), 10, 0.125)

    def used() -> dict[str, float | None]:
        told = run(config, "usage", "team-a", "--json")
        return {str(name): value for name, value in json.loads(told.stdout).items()}

    asyncio.run(leave())
    before = used()
    assert (before["spent_daily_usd"], before["reserved_usd"]) == (0.125, 0.75)
    assert (before["daily_usd"], before["daily_usd_left"]) == (2.0, 1.125)
    assert (before["reservations"], before["orphans"], before["orphaned_usd"]) == (2, 1, 0.5)
    assert (before["monthly_usd"], before["tokens_left"]) == (None, None)
    lines = run(config, "usage", "team-a").stdout.splitlines()
    assert "reserved_usd: 0.750000" in lines
    assert "monthly_usd: unlimited" in lines
    told = run(config, "release", "team-a")
    assert told.stdout == "1 settled: 0.500000 USD were reserved, 0.250000 charged\n"
    after = used()
    assert (after["spent_daily_usd"], after["reserved_usd"], after["orphans"]) == (0.375, 0.25, 0)
    assert run(config, "release", "team-a").stdout.startswith("0 settled")


def test_list_shows_all_tenants_by_name(config: Path) -> None:
    created(config, "team-b")
    created(config, "team-a", "--arm", "cheap")
    run(config, "revoke", "team-a")
    lines = run(config, "list").stdout.splitlines()
    names = [line.split()[1] for line in lines if " team-" in line]
    assert names == ["team-a", "team-b"]


def test_list_truncates_nothing_on_short_lines(config: Path) -> None:
    created(config, "a" * 40, "--requests-per-minute", "123456789", "--monthly-usd", "98765.4321")
    shown = run(config, "list").stdout
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown
    cells = [
        [c.strip() for c in line.split("│")[1:-1]] for line in shown.splitlines() if "│" in line
    ]
    whole = ["".join(parts) for parts in zip(*cells, strict=True)]
    assert whole[:2] == ["a" * 40, "123456789"]
    assert "98765.4321" in whole


@pytest.mark.parametrize("command", ["rotate", "revoke", "limit", "show", "usage", "release"])
def test_an_unknown_tenant_is_one_line_on_stderr(config: Path, command: str) -> None:
    result = run(config, command, "nobody")
    assert result.exit_code == 1
    assert result.stderr.startswith("no tenant has this name")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["create", "show", "usage"])
def test_an_unreachable_store_is_one_line_on_stderr(config: Path, command: str) -> None:
    text = config.read_text().replace("redis: {", "redis: {url: 'redis://127.0.0.1:9', ")
    config.write_text(text)
    result = run(config, command, "team-a")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["create", "Team A"], "lower-case letters"),
        (["create", "t", "--requests-per-minute", "-1"], "-1 is not in the range"),
        (["create", "t", "--daily-usd", "nan"], "finite number"),
        (["create", "t", "--monthly-usd", "inf"], "finite number"),
        (["create", "t", "--arm", "chep"], "chep is no arm: choose of cheap, reasoning"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_done(
    config: Path, words: list[str], complaint: str
) -> None:
    result = run(config, *words)
    assert result.exit_code == 2
    assert complaint in " ".join(result.stderr.split())
    assert "team" not in run(config, "list").stdout
    assert run(config, "show", "t").exit_code == 1
