"""Proxies between the router and its providers: which URL goes through which, and the way there."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

import httpcore

from router.adapters.providers.network import (
    Http11Connection,
    KeptPool,
    OnePieceBackend,
    OnePieceStream,
)
from router.adapters.providers.way_faults import ProxyRefused
from router.domain.errors import ConfigInvalid, ConfigProblem

ENVIRONMENT: Final = "environment"
NONE: Final = "none"
MAX_HEAD_BYTES: Final = 16 * 1024
_PORTS: Final = {"http": 80, "https": 443}
_FIX: Final = "name a proxy as http://HOST:PORT or https://HOST:PORT; SOCKS is not spoken"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """url: with a password, if it has one."""

    url: str = field(repr=False)
    host: str
    port: int
    secure: bool
    login: tuple[str, str] | None = field(default=None, repr=False)

    @staticmethod
    def read(text: str) -> ProxyAddress:
        """Raises ConfigInvalid, which does not repeat the text: it may hold a password."""
        text = text if "://" in text else f"http://{text}"
        try:
            parts = urlsplit(text)
            usual = _PORTS[parts.scheme]
            port = parts.port or usual
        except (ValueError, KeyError):
            raise _invalid() from None
        if not parts.hostname:
            raise _invalid()
        return ProxyAddress(text, parts.hostname, port, parts.scheme == "https", _login(parts))

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        if self.login is None:
            return []
        told = b64encode(":".join(self.login).encode())
        return [(b"Proxy-Authorization", b"Basic " + told)]


@dataclass(frozen=True, slots=True)
class ProxyRules:
    """by_scheme: the proxy of http and https URLs. exempt: entries of NO_PROXY."""

    by_scheme: Mapping[str, ProxyAddress] = field(default_factory=dict)
    exempt: tuple[str, ...] = ()

    @staticmethod
    def read(setting: str, env: Mapping[str, str]) -> ProxyRules:
        """Returns the rules of `providers.proxy`; NO_PROXY counts beside a URL too.

        Raises ConfigInvalid.
        """
        if setting == NONE:
            return ProxyRules()
        shared = setting if setting != ENVIRONMENT else ""
        told = {
            scheme: shared or _variable(env, f"{scheme}_proxy", "all_proxy") for scheme in _PORTS
        }
        by_scheme = {scheme: ProxyAddress.read(text) for scheme, text in told.items() if text}
        return ProxyRules(by_scheme, tuple(re.split(r"[\s,]+", _variable(env, "no_proxy"))))

    def proxy_for(self, scheme: str, host: str, port: int) -> ProxyAddress | None:
        """None for the direct way."""
        proxy = self.by_scheme.get(scheme)
        return None if proxy is None or self._is_exempt(host, port) else proxy

    def url_for(self, url: str) -> str | None:
        """Returns the proxy's URL for a client of its own; None for the direct way."""
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
        proxy = self.proxy_for(parts.scheme, parts.hostname or "", port)
        return None if proxy is None else proxy.url

    def _is_exempt(self, host: str, port: int) -> bool:
        name = host.strip("[]").lower().rstrip(".")
        return any(_matches(entry.lower(), name, port) for entry in self.exempt if entry)


class ProxiedPool(KeptPool):
    """Connections through a proxy where the rules say so, else direct ones.

    A tunnel is a connection like any other, whose backend asks the proxy for it first: what was not
    sent to the provider is not charged, and what is given up is closed. HTTP/1.1 is spoken in it.
    """

    def __init__(self, rules: ProxyRules, **options: Any) -> None:
        super().__init__(**options)
        self._rules = rules

    def through(self, origin: httpcore.Origin) -> Http11Connection | None:
        scheme, host = origin.scheme.decode(), origin.host.decode()
        proxy = self._rules.proxy_for(scheme, host, origin.port)
        if proxy is None:
            return None
        trusted = self._ssl_context
        if scheme == "https":
            return self.over(TunnelBackend(proxy, trusted), origin)
        return self.over(ProxyBackend(proxy, trusted), origin, proxy.headers)


class ProxyBackend(OnePieceBackend):
    """Connects to a proxy, wherever to is asked for."""

    def __init__(self, proxy: ProxyAddress, trusted: ssl.SSLContext | None) -> None:
        self._proxy = proxy
        self._trusted = trusted

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> OnePieceStream:
        del host, port
        proxy = self._proxy
        stream = await super().connect_tcp(
            proxy.host, proxy.port, timeout, local_address, socket_options
        )
        if proxy.secure:
            await stream.secure(self._trusted, proxy.host, timeout)
        return stream


class TunnelBackend(ProxyBackend):
    """Connects by asking a proxy for a tunnel. Raises ProxyRefused."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> OnePieceStream:
        try:
            async with asyncio.timeout(timeout):
                stream = await super().connect_tcp(
                    host, port, timeout, local_address, socket_options
                )
                try:
                    await self._ask(stream, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
                except BaseException:
                    stream.close()
                    raise
        except TimeoutError:
            raise httpcore.ConnectTimeout from None
        return stream

    async def _ask(self, stream: httpcore.AsyncNetworkStream, target: str) -> None:
        headers = [(b"Host", target.encode()), *self._proxy.headers]
        lines = [b"CONNECT %s HTTP/1.1" % target.encode(), *(b"%s: %s" % pair for pair in headers)]
        await stream.write(b"\r\n".join([*lines, b"\r\n"]))
        head = b""
        # Byte by byte: what follows the head belongs to the tunnel.
        while not head.endswith(b"\r\n\r\n"):
            said = await stream.read(1)
            head += said
            if not said or len(head) > MAX_HEAD_BYTES:
                raise ProxyRefused("the proxy closed the connection")
        status = head.split(b" ", 2)[1:2]
        if not status or not status[0].startswith(b"2"):
            _log.warning("the proxy refused a tunnel: it said %r", head.split(b"\r\n")[0][:64])
            raise ProxyRefused("the proxy refused")


def _variable(env: Mapping[str, str], *names: str) -> str:
    """Returns the first that is set, small letters before capital ones; "" for none."""
    found = (env[each] for name in names for each in (name, name.upper()) if each in env)
    return next(found, "").strip()


def _matches(entry: str, name: str, port: int) -> bool:
    """True if an entry of NO_PROXY covers the host: `*`, a domain, an address or a network."""
    if entry == "*":
        return True
    host, wanted_port = _split(entry)
    if wanted_port not in (None, port):
        return False
    try:
        return ip_address(name) in ip_network(host, strict=False)
    except ValueError:
        domain = host.removeprefix("*").strip(".")
        return name == domain or name.endswith(f".{domain}")


def _split(entry: str) -> tuple[str, int | None]:
    """Returns host and port. An IPv6 address has a port in brackets' company only."""
    host, colon, port = entry.rpartition(":")
    if colon and port.isdigit() and (":" not in host or host.endswith("]")):
        return host.strip("[]"), int(port)
    return entry.strip("[]"), None


def _login(parts: SplitResult) -> tuple[str, str] | None:
    if parts.username is None:
        return None
    return unquote(parts.username), unquote(parts.password or "")


def _invalid() -> ConfigInvalid:
    where = "providers.proxy"
    return ConfigInvalid(ConfigProblem("", 0, where, f"here or in the environment {_FIX}"))
