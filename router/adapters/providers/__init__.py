"""Providers' protocols over one pooled HTTP client."""

from __future__ import annotations

import time
from collections.abc import Mapping

import httpcore

from router.adapters.providers.anthropic import Anthropic
from router.adapters.providers.dialect import Dialect
from router.adapters.providers.gemini import Gemini
from router.adapters.providers.http import HttpProvider, make_client
from router.adapters.providers.openai import OpenAI
from router.ports import Clock
from router.ports.upstream import Provider

__all__ = ["make_client", "make_providers"]


def make_providers(
    client: httpcore.AsyncConnectionPool, keys: Mapping[str, str], clock: Clock = time.time
) -> dict[str, Provider]:
    """Protocol name -> provider. keys: deployment name -> API key."""
    dialects: dict[str, Dialect] = {
        "openai": OpenAI(),
        "anthropic": Anthropic(),
        "gemini": Gemini(),
    }
    return {name: HttpProvider(client, dialect, keys, clock) for name, dialect in dialects.items()}
