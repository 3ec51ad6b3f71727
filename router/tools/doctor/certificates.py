"""Certificates that a config names: whether they can be read, and when they end."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from router.config import Config
from router.ports import Clock
from router.tools.doctor.findings import Finding, fail, lasting, ok, warn

SOON_S: Final = 21 * 86_400
NAMED: Final = re.compile(r"\bca_file$|\bclient_ca$|\bcertificate$|\bcert_file$|_ca$")
OF_AUTHORITIES: Final = re.compile(r"ca(_file)?$")
PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
MOST_BYTES: Final = 4 << 20
VERSION: Final = 0xA0
UTC_TIME: Final = 0x17
LONG: Final = 0x80
CENTURY: Final = 50
"""Years of two digits from here on are of the twentieth."""


def look_at_certificates(config: Config, clock: Clock) -> Iterator[Finding]:
    """Yield a finding for each file of certificates, nothing where none is configured."""
    for key, file in _files(config, ""):
        yield _of_file(key, file, clock())


def _files(section: Any, path: str) -> Iterator[tuple[str, Path]]:
    """Yield the options that name files of certificates, whatever section they stand in."""
    if isinstance(section, Path) and NAMED.search(path):
        yield path, section
    for name, value in _options(section):
        yield from _files(value, f"{path}.{name}".lstrip("."))


def _options(section: Any) -> Iterator[tuple[str, Any]]:
    names = getattr(type(section), "model_fields", ())
    if is_dataclass(section):
        names = [each.name for each in fields(section)]
    yield from ((name, getattr(section, name)) for name in names)


def _of_file(key: str, file: Path, now_s: float) -> Finding:
    check = f"certificate.{key}"
    try:
        with file.open("rb") as stream:
            text = stream.read(MOST_BYTES).decode("ascii", errors="replace")
        ends = [_ends_s(ssl.PEM_cert_to_DER_cert(found)) for found in PEM.findall(text)]
    except OSError:
        return fail(check, f"{file} can't be read", "let this user read it, or name another file")
    except (ValueError, IndexError):
        return fail(check, f"{file} is damaged", "put a whole PEM file in its place")
    if not ends:
        return fail(check, f"{file} holds no certificate", "name a PEM file of certificates")
    # Of authorities one that lasts will do; a chain ends with its first.
    end_s = max(ends) if OF_AUTHORITIES.search(key) else min(ends)
    day = datetime.fromtimestamp(end_s, UTC).date().isoformat()
    facts = {"expires_at": datetime.fromtimestamp(end_s, UTC).isoformat()}
    if end_s <= now_s:
        return fail(check, f"{file} expired on {day}", "renew it now: callers refuse it", **facts)
    if end_s - now_s < SOON_S:
        text = f"{file} expires in {lasting(end_s - now_s)}, on {day}"
        return warn(check, text, "renew it, and see that renewal runs by itself", **facts)
    return ok(check, f"{file} is valid until {day}", **facts)


def _ends_s(der: bytes) -> float:
    """Return the end of a certificate's validity, since the epoch.

    Raises ValueError, IndexError for what is no certificate.
    """
    at = _inside(der, _inside(der, 0))
    if der[at] == VERSION:
        at = _after(der, at)
    for _ in ("serial number", "algorithm", "issuer"):
        at = _after(der, at)
    ends = _after(der, _inside(der, at))
    text = der[_inside(der, ends) : _after(der, ends)].decode("ascii")
    if der[ends] == UTC_TIME:
        text = f"{'19' if int(text[:2]) >= CENTURY else '20'}{text}"
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _inside(der: bytes, at: int) -> int:
    """Return where the content of the element at a place begins."""
    return at + 2 + (der[at + 1] & ~LONG if der[at + 1] & LONG else 0)


def _after(der: bytes, at: int) -> int:
    inside, first = _inside(der, at), der[at + 1]
    return inside + (int.from_bytes(der[at + 2 : inside]) if first & LONG else first)
