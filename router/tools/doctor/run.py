"""The doctor, composed: every check tells what it finds, whatever the others meet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from router.adapters.storage import Storage
from router.app.process import opened_storage
from router.app.spooling import spool_folder
from router.config import Config, doubts_of, load_config
from router.config.values import cut_off_by_drain
from router.domain.errors import ConfigInvalid, RouterError, StoreMissing
from router.ports import Clock
from router.tools.doctor.certificates import look_at_certificates
from router.tools.doctor.findings import Finding, State, fail, of_error, ok, warn
from router.tools.doctor.learning import look_at_learning
from router.tools.doctor.machine import look_at_model, look_at_spool
from router.tools.doctor.providers import look_at_circuits, look_at_keys, probe_providers
from router.tools.doctor.store import look_at_clock, look_at_store
from router.tools.doctor.tenants import look_at_tenants

UNSET: Final = "set the environment variable "
"""How a config's mistake begins where a variable is missing that it names."""


@dataclass(frozen=True, slots=True)
class Patient:
    """A deployment that is looked at. missing: variables of keys that the environment lacks.

    probe: call each deployment, which costs a little.
    """

    config: Config
    file: Path
    env: Mapping[str, str]
    clock: Clock
    probe: bool = False
    missing: frozenset[str] = frozenset()


async def examined(
    file: Path, env: Mapping[str, str], clock: Clock, *, probe: bool
) -> list[Finding]:
    """Look at everything that a config names."""
    found: list[Finding] = []
    patient = _admitted(file, env, found)
    if patient is None:
        return found
    patient = replace(patient, clock=clock, probe=probe and not patient.missing)
    config = patient.config
    found += _config(patient)
    found += _guarded("model", lambda: [look_at_model()])
    found += _guarded("certificates", lambda: look_at_certificates(config, clock))
    found += _guarded(
        "provider", lambda: look_at_keys(patient.config, patient.env, patient.missing)
    )
    found += [finding async for finding in _of_store(patient)]
    if patient.probe:
        with _telling("provider", found):
            found += await probe_providers(config, env)
    return found


def _admitted(file: Path, env: Mapping[str, str], found: list[Finding]) -> Patient | None:
    """Load the config; where only keys of providers are missing, the rest is looked at as well."""
    try:
        return Patient(load_config(file, env), file, env, lambda: 0.0)
    except ConfigInvalid as error:
        missing = {
            problem.fix.removeprefix(UNSET)
            for problem in error.problems
            if problem.key.endswith("api_key_env") and problem.fix.startswith(UNSET)
        }
        if missing:
            stand_in = {**env, **dict.fromkeys(missing, "missing")}
            with _telling("config", found):
                config = load_config(file, stand_in)
                return Patient(config, file, stand_in, lambda: 0.0, missing=frozenset(missing))
        else:
            found += _mistakes(error)
        return None


def _mistakes(error: ConfigInvalid) -> Iterator[Finding]:
    for problem in error.problems:
        place = f"{problem.file}:{problem.line}" if problem.line else problem.file
        text = f"{place} is wrong at {problem.key}" if problem.key else f"{place} can't be used"
        yield fail("config", text, problem.fix, key=problem.key, line=problem.line)


def _config(patient: Patient) -> list[Finding]:
    config, file = patient.config, patient.file
    doubts = [
        warn("config", f"line {doubt.line}, {doubt.key}, is probably not meant", doubt.fix)
        for doubt in doubts_of(config, file, patient.env)
    ]
    if cut := cut_off_by_drain(config):
        text, _, fix = cut.partition(": ")
        doubts.append(warn("config", text, fix or "raise server.drain_ms"))
    return doubts or [ok("config", f"{file} is well-formed")]


async def _of_store(patient: Patient) -> AsyncIterator[Finding]:
    """Yield nothing that rests on a store which does not answer."""
    found: list[Finding] = []
    try:
        async with opened_storage(patient.config, patient.env, begun=True) as storage:
            folder = spool_folder(patient.config, patient.env, storage)
            found += _guarded("spool", lambda: look_at_spool(patient.config, folder))
            with _telling("store.reachable", found):
                found += await look_at_store(storage)
                found += await _rest(patient, storage)
    except StoreMissing as error:
        told = of_error("store.reachable", error)
        found.append(replace(told, state=State.WARN, fix=f"start `serve`, or {told.fix}"))
    except RouterError as error:
        found.append(of_error("store.reachable", error))
    for finding in found:
        yield finding


async def _rest(patient: Patient, storage: Storage) -> list[Finding]:
    found: list[Finding] = []
    with _telling("clock", found):
        found.append(await look_at_clock(storage, patient.clock))
    with _telling("provider.circuits", found):
        found += await look_at_circuits(patient.config, storage)
    with _telling("learning", found):
        found += await look_at_learning(patient.config, storage)
    with _telling("tenants", found):
        found += await look_at_tenants(patient.config, storage)
    return found


def _guarded(check: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    found: list[Finding] = []
    with _telling(check, found):
        found += look()
    return found


@contextmanager
def _telling(check: str, found: list[Finding]) -> Iterator[None]:
    """Make a finding of an error, so that the other checks still tell."""
    try:
        yield
    except ConfigInvalid as error:
        found += _mistakes(error)
    except RouterError as error:
        found.append(of_error(check, error))
    except Exception as error:  # noqa: BLE001 - told by type only: its text may quote anything
        text = f"the check {check} broke by {type(error).__name__}"
        found.append(fail(check, text, "report it, with the version of this command"))
