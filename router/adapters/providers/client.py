"""The pool of connections to providers: how long they are kept, and who is trusted."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpcore

from router.adapters.providers.any_version import AnyVersionBackend
from router.adapters.providers.network import KeptPool, OnePieceBackend
from router.adapters.providers.proxy import ProxiedPool, ProxyRules
from router.domain.errors import ConfigInvalid, ConfigProblem

KEEPALIVE_S = 4.0
"""Idle connections are closed after it: before most servers do, whose usual limit is 5 s."""
MAX_CONNECTIONS = 512


def make_client(
    max_connections: int = MAX_CONNECTIONS,
    *,
    http2: bool = False,
    ca_file: Path | None = None,
    proxies: ProxyRules | None = None,
    pool: type[ProxiedPool] | None = None,
) -> httpcore.AsyncConnectionPool:
    """Pooled connections, for use as a context manager. max_connections: over all providers.

    The pool alone: what a whole client adds (redirects, cookies, auth) must not happen here, and
    costs half a millisecond a call.

    http2: offer it to providers. Off by default: over HTTP/2 httpcore never resets the stream of
    a call that was given up, so the provider writes on at our expense, and after a hundred such
    calls the connection refuses all others. Closing a connection of its own ends a call.

    ca_file: authorities to trust besides the public ones, PEM. Raises OSError (ssl.SSLError) for a
    file that holds none.

    proxies: that some go through, rather than all the direct way.

    pool: a kind of its own; None for the simplest that does.
    """
    made: Callable[..., httpcore.AsyncConnectionPool] = KeptPool
    if pool is not None or (proxies is not None and proxies.by_scheme):
        made = partial(pool or ProxiedPool, proxies or ProxyRules())
    return made(
        max_connections=max_connections,
        keepalive_expiry=KEEPALIVE_S,
        ssl_context=trusted(ca_file),
        http2=http2,
        network_backend=AnyVersionBackend() if http2 else OnePieceBackend(),
    )


def trusted(ca_file: Path | None) -> ssl.SSLContext:
    """Returns a context of the public authorities and those of the file. Raises OSError."""
    context = httpcore.default_ssl_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


def trust_authorities(client: httpcore.AsyncConnectionPool, ca_file: Path | None) -> None:
    """Let new connections trust what the file holds by now; those that stand go on.

    Raises ConfigInvalid.
    """
    if ca_file is None:
        return
    try:
        client._ssl_context = trusted(ca_file)  # noqa: SLF001 - read at every new connection
    except OSError:
        fix = "name a PEM file of certificates that can be read"
        raise ConfigInvalid(ConfigProblem("", 0, "providers.ca_file", fix)) from None
