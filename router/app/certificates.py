"""Certificates of the doors, read anew when their files are: no restart, and never a broken one."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from router.config import Config
from router.config.certificates import read_identity
from router.config.schema import TlsSection
from router.domain.errors import ConfigInvalid, RouterError
from router.doors.identity import CurrentIdentity, DoorIdentity
from router.ports.observer import Observer
from router.runtime.loops import wait

REFUSED: Final = "certificate"
Digest = bytes


def identity_of(config: Config, observer: Observer) -> CurrentIdentity | None:
    """Returns what the doors show, None where they speak no TLS. Raises ConfigInvalid."""
    if config.server.tls is None:
        return None
    identity = read_identity(config.server.tls)
    observer.certificate(identity.expires_s)
    return CurrentIdentity(identity)


class CertificateWatch:
    """Puts changed files in place once they fit together; until then the earlier ones serve.

    renew(context): lets new connections of the HTTP door have it.
    """

    def __init__(
        self,
        config: Config,
        section: TlsSection,
        current: CurrentIdentity,
        renew: Callable[[Any], Awaitable[None]],
        observer: Observer,
    ) -> None:
        self._every_s = config.server.reload_ms / 1_000
        self._section = section
        self._current = current
        self._renew = renew
        self._observer = observer
        shown = current.identity
        self._seen = _digest(shown.chain, shown.key, shown.client_ca)
        self._last_refusal = ""
        self._log = structlog.get_logger("certificates")

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await wait(stop, self._every_s)
            await self.step()

    async def step(self) -> None:
        """Files that can't be used are told of once, and tried again until they can."""
        found = await asyncio.to_thread(_digest_of, self._section)
        if found == self._seen:
            self._last_refusal = ""
            return
        try:
            identity = await asyncio.to_thread(read_identity, self._section)
        except RouterError as error:
            self._refuse(error)
            return
        self._last_refusal = ""
        read = _digest(identity.chain, identity.key, identity.client_ca)
        if read != self._seen:  # else they were put back meanwhile
            await self._put_in_place(identity)
            self._seen = read

    async def _put_in_place(self, identity: DoorIdentity) -> None:
        await self._renew(identity.context)
        self._current.identity = identity
        self._observer.certificate(identity.expires_s)
        self._log.info("certificate_in_place", expires_s=int(identity.expires_s))

    def _refuse(self, error: RouterError) -> None:
        self._observer.degraded(REFUSED)
        if error.message == self._last_refusal:
            return
        self._last_refusal = error.message
        key = error.problems[0].key if isinstance(error, ConfigInvalid) else ""
        self._log.error("certificate_refused", reason=error.reason, key=key, fix=error.message)


def _digest_of(section: TlsSection) -> Digest:
    """Returns nothing while a file can't be read."""
    files = (section.certificate, section.key, section.client_ca)
    try:
        return _digest(*(b"" if file is None else file.read_bytes() for file in files))
    except OSError:
        return b""


def _digest(*parts: bytes) -> Digest:
    return b"".join(hashlib.sha256(part).digest() for part in parts)
