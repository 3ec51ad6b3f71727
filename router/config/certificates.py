"""Reads the files of `server.tls`, and finds out whether clients can talk to such a server."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path
from typing import Final

from router.config.schema import TlsSection
from router.domain.errors import ConfigInvalid, ConfigProblem
from router.doors.identity import DoorIdentity

PARTIAL_CHAIN: Final = 0x80000
"""X509_V_FLAG_PARTIAL_CHAIN, which Python names from 3.13 on: the certificate itself is trusted."""
NOT_YET: Final = 9
EXPIRED: Final = 10
FLIGHTS: Final = 8
"""More than a handshake takes."""
PROTOCOL: Final = "http/1.1"


def read_identity(section: TlsSection) -> DoorIdentity:
    """Raises ConfigInvalid, which names the key of the file that has to be mended."""
    chain = _read(section.certificate, "certificate")
    key = _read(section.key, "key")
    client_ca = _read(section.client_ca, "client_ca") if section.client_ca else b""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols([PROTOCOL])
    try:
        context.load_cert_chain(section.certificate, section.key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise _mismatch(chain, error) from None
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        _trust(context, client_ca, "client_ca")
    expires_s = _tried(section, chain)
    if (chain, key) != (_read(section.certificate, "certificate"), _read(section.key, "key")):
        raise _wrong("certificate", "it is being written: replace both files, or a link to both")
    return DoorIdentity(chain, key, client_ca, context, expires_s)


def _read(file: Path, key: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        raise _wrong(key, "name a PEM file that this process can read") from None


def _no_password() -> bytes:
    """Refuse an encrypted key: asked for its password, OpenSSL would wait for a terminal."""
    raise ValueError


def _mismatch(chain: bytes, error: Exception) -> ConfigInvalid:
    """Returns which of the two files is at fault."""
    if not _is_readable(chain):
        return _wrong("certificate", "put the chain into this file, PEM, its own certificate first")
    if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
        return _wrong("key", "name the key of this certificate")
    return _wrong("key", "put the private key alone into this file, PEM, without a password")


def _is_readable(chain: bytes) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=chain.decode("ascii"))
    except (ssl.SSLError, ValueError):
        return False
    return True


def _trust(context: ssl.SSLContext, pem: bytes, key: str) -> None:
    try:
        context.load_verify_locations(cadata=pem.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise _wrong(key, "put the authorities' certificates into this file, PEM") from None


def _tried(section: TlsSection, chain: bytes) -> float:
    """Shake hands with a server of these files, in memory; returns when its certificate expires."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(section.certificate, section.key, password=_no_password)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= PARTIAL_CHAIN
    _trust(client, chain, "certificate")
    here, there = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = client.wrap_bio(here, there), server.wrap_bio(there, here, server_side=True)
    try:
        for _ in range(FLIGHTS):
            for side in sides:
                _advance(side)
        told = sides[0].getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        raise _wrong("certificate", _WHY.get(error.verify_code, _UNFIT)) from None
    except (ssl.SSLError, ValueError):
        raise _wrong("certificate", _UNFIT) from None
    return float(ssl.cert_time_to_seconds(str(told["notAfter"])))


def _advance(side: ssl.SSLObject) -> None:
    with suppress(ssl.SSLWantReadError):
        side.do_handshake()


_WHY: Final = {
    EXPIRED: "it has expired: put a new one in its place",
    NOT_YET: "it is not valid yet: put one in its place that is, or mend this machine's clock",
}
_UNFIT: Final = "put a certificate for servers into this file, with its chain"


def _wrong(key: str, fix: str) -> ConfigInvalid:
    return ConfigInvalid(ConfigProblem("", 0, f"server.tls.{key}", fix))
