"""Providers' protocols over one pooled HTTP client: a module for each name of `PROVIDERS`.

What they share is in `sending` and `reading`; `probing` is for `check-config --probe`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib import import_module
from typing import TypeAlias

import httpcore

from router.adapters.providers.client import make_client, trust_authorities
from router.adapters.providers.http import HttpProvider
from router.adapters.providers.proxy import ProxyRules
from router.domain.catalog import PROVIDERS
from router.ports import Clock
from router.ports.observer import NO_TRACER, Tracer
from router.ports.upstream import Provider

ProviderPool: TypeAlias = httpcore.AsyncConnectionPool

__all__ = ["ProviderPool", "ProxyRules", "make_client", "make_providers", "trust_authorities"]


def make_providers(
    client: httpcore.AsyncConnectionPool,
    keys: Mapping[str, str],
    clock: Clock = time.time,
    headers: Mapping[str, Mapping[str, str]] | None = None,
    tracer: Tracer = NO_TRACER,
) -> dict[str, Provider]:
    """Returns each protocol's provider by its name.

    keys: deployment name -> API key. headers: deployment name -> further headers.
    """
    modules = {name: import_module(f"{__name__}.{name}") for name in PROVIDERS}
    return {
        name: HttpProvider(client, module.DIALECT, keys, clock, headers, tracer=tracer)
        for name, module in modules.items()
    }
