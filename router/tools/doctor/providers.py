"""Providers: whether each deployment has its key, is well, and answers where it is called."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from router.adapters.storage import Storage
from router.app.provider_probe import ProviderReport, probed
from router.config import Config
from router.config.values import catalog_of, keys_of
from router.ports.state import Health
from router.tools.doctor.findings import Finding, fail, ok, warn

ASK: Final = "see what it answers: `adaptive-router doctor --probe` calls it"


def look_at_keys(
    config: Config, env: Mapping[str, str], missing: Collection[str]
) -> Iterator[Finding]:
    """missing: variables that the config names and the environment lacks."""
    keys = keys_of(config, env)
    for arm in config.arms.values():
        for each in arm.deployments:
            check = f"provider.{each.name}.key"
            if each.api_key_env in missing:
                fix = f"set {each.api_key_env} in the environment of routers and of this command"
                yield fail(check, f"deployment {each.name} has no key", fix)
            elif each.name in keys:
                yield ok(check, f"deployment {each.name} has a key")
            elif each.base_url is None:
                fix = "name its variable in api_key_env, or its file in api_key_file"
                yield warn(check, f"deployment {each.name} has no key for a public API", fix)
            else:
                yield ok(check, f"deployment {each.name} is called without a key")


async def look_at_circuits(config: Config, storage: Storage) -> list[Finding]:
    names = catalog_of(config).names()
    states = await storage.health.states(list(names))
    away = [name for name, state in states.items() if state is not Health.CLOSED]
    if not away:
        return [
            ok("provider.circuits", f"the circuits of all {len(states)} deployments are closed")
        ]
    tell = fail if len(away) == len(states) else warn
    return [
        tell(f"provider.{name}.circuit", f"deployment {name} is left alone after failures", ASK)
        for name in away
    ]


async def probe_providers(config: Config, env: Mapping[str, str]) -> list[Finding]:
    return [_called(report) async for report in probed(config, env)]


def _called(report: ProviderReport) -> Finding:
    check = f"provider.{report.deployment}.call"
    if not (report.grave or report.warning):
        return ok(check, report.text)
    text, _, fix = report.text.partition(": ")
    tell = fail if report.grave else warn
    return tell(check, text, fix) if fix else tell(check, report.text, "see docs/providers.md")
