"""The way to providers as a config describes it: for requests, and for `check-config --probe`."""

from __future__ import annotations

from collections.abc import Mapping

from router.adapters.providers import ProviderPool, ProxyRules, make_client, make_providers
from router.adapters.providers.probing.witness import WitnessedPool
from router.config import Config
from router.config.values import headers_of, keys_of
from router.ports.observer import NO_TRACER, Tracer
from router.ports.upstream import Provider


def provider_pool(config: Config, proxies: ProxyRules, *, witnessed: bool = False) -> ProviderPool:
    """Returns the connections to all providers, for use as a context manager."""
    section = config.providers
    return make_client(
        section.max_connections,
        http2=section.http2,
        ca_file=section.ca_file,
        proxies=proxies,
        pool=WitnessedPool if witnessed else None,
    )


def providers_of(
    config: Config, env: Mapping[str, str], pool: ProviderPool, tracer: Tracer = NO_TRACER
) -> Mapping[str, Provider]:
    """Returns a provider for each protocol. Raises ConfigInvalid."""
    return make_providers(
        pool, keys_of(config, env), headers=headers_of(config, env), tracer=tracer
    )
