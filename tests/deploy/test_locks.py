"""What the image installs: pinned, hashed, and all that the package asks for."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from itertools import pairwise
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"(?P<name>[a-z0-9._-]+)==(?P<version>[^ ]+)(?: ; (?P<marker>.+))? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
LOCKS = ("requirements", "embedded", "build")


def pins(lock: str) -> dict[str, str]:
    lines = (ROOT / "deploy" / f"{lock}.lock").read_text(encoding="utf-8").splitlines()
    found = [PIN.fullmatch(line) for line in lines if not line.startswith(" ")]
    return {canonicalize_name(pin["name"]): pin["version"] for pin in found if pin}


def asked(lock: str) -> list[Requirement]:
    """What pyproject.toml asks a lock for."""
    text = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, extras = text["project"], text["project"]["optional-dependencies"]
    lines = {
        "requirements": [
            *project["dependencies"],
            *extras["archive"],
            *extras["evaluate"],
            *extras["traces"],
        ],
        "embedded": extras["embedded"],
        "build": text["build-system"]["requires"],
    }[lock]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_is_a_pin_or_a_hash(lock: str) -> None:
    """No address of a registry, no path of a machine."""
    lines = (ROOT / "deploy" / f"{lock}.lock").read_text(encoding="utf-8").splitlines()
    assert all(PIN.fullmatch(line) or HASH.fullmatch(line) for line in lines)
    for line, after in pairwise(lines):
        assert not PIN.fullmatch(line) or HASH.fullmatch(after)


@pytest.mark.parametrize("lock", LOCKS)
def test_it_satisfies_the_package(lock: str) -> None:
    pinned = pins(lock)
    for wanted in asked(lock):
        assert wanted.specifier.contains(pinned[canonicalize_name(wanted.name)]), wanted


def test_it_holds_what_its_packages_ask_for() -> None:
    """With hashes pip takes nothing that is not listed; as far as these are installed here."""
    pinned, seen = pins("requirements"), 0
    extras = {canonicalize_name(r.name): r.extras for r in asked("requirements")}
    for name in pinned:
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            continue
        for wanted in map(Requirement, lines):
            chosen = ["", *extras.get(name, ())]
            if wanted.marker is None or any(wanted.marker.evaluate({"extra": e}) for e in chosen):
                assert canonicalize_name(wanted.name) in pinned, f"{name} asks for {wanted}"
                seen += 1
    assert seen > len(pinned) / 2
