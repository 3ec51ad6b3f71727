"""Sections of the service itself: its doors, stores, caches and limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from router.config.section import Section

Count = Annotated[int, Field(ge=1, le=2_000_000_000, strict=True)]
Port = Annotated[int, Field(ge=0, le=65_535, strict=True)]


class ServerSection(Section):
    """The address of the API, its limits, and how changes of this file are picked up."""

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` in a container."""
    port: Port = 8480
    """Port of the gRPC API; 0 picks a free one."""
    metrics_port: Port = 9480
    """Port of the Prometheus metrics, the embedded learner's on the next; 0 picks a free one."""
    max_in_flight: Count = 256
    """Calls under way at once; above it calls are refused with `OVERLOADED`."""
    max_message_bytes: Count = 4 * 1024 * 1024
    """Size of a gRPC message, request or response."""
    drain_ms: Count = 20_000
    """Time that calls under way have to end after SIGTERM."""
    reload_ms: Annotated[int, Field(ge=100, le=60_000, strict=True)] = 2_000
    """How often this file is checked for changed arms and plans."""


class AttemptsSection(Section):
    """Bounds on the provider calls of one request."""

    max_per_request: Annotated[int, Field(ge=1, le=20)] = 6
    """Provider calls that one request may make, second opinions included."""
    min_remaining_ms: Annotated[int, Field(ge=0)] = 200
    """No attempt is begun when less than this is left until the deadline."""


class ProvidersSection(Section):
    """The connections to providers."""

    http2: bool = False
    """Offer HTTP/2. A call that is given up is then not ended at the provider."""
    ca_file: Path | None = None
    """PEM file of certificate authorities that are trusted besides the public ones."""
    max_connections: Count = 512
    """Connections to all providers together."""


class CacheSection(Section):
    """The answer cache of each tenant.

    Only answers that passed their gate are kept. One prompt gets another's answer only where the
    embedding model saw all of both: 254 tokens at most, no unknown word.
    """

    enabled: bool = True
    """Read and write the answer cache."""
    ttl_s: Count = 3_600
    """How long an answer is kept."""
    semantic_threshold: Annotated[float, Field(gt=0.5, le=1)] | None = 0.97
    """Cosine similarity from which another prompt's answer is served; null: never."""
    max_entries_per_partition: Count = 1_000
    """Answers kept for similarity look-ups among requests alike but for the last user message."""


class HealthSection(Section):
    """The circuit breaker of each deployment."""

    failures: Count = 3
    """Failures in a row that open a deployment's circuit."""
    cooldown_ms: Count = 5_000
    """How long an open circuit waits before one request probes the deployment."""
    max_cooldown_ms: Count = 60_000
    """Longest cooldown: it doubles with each failed probe."""
    probe_ms: Count = 10_000
    """How long a probe may take before another request may probe."""


class EmbeddedSection(Section):
    """The private Redis server that is started where no URL is given."""

    data_dir: Path | None = None
    """Directory of the private server's data; unset: in the user's data directory."""
    appendfsync: Literal["always", "everysec"] = "always"
    """`always`: what is acknowledged is on disk. `everysec`: faster, may lose a second."""


class RedisSection(Section):
    """The store: a Redis 8 of yours, or a private server."""

    url: str = ""
    """Address of a Redis 8; empty, with `url_env` empty as well, for a private server."""
    url_env: str = ""
    """Environment variable that holds the address, which may contain a password."""
    embedded: EmbeddedSection = EmbeddedSection()
    """The private server."""
    pool_size: Annotated[int, Field(ge=2, le=256)] = 16
    """Connections to Redis per process."""
    timeout_ms: Count = 1_000
    """Longest wait for a command or a connection."""
    max_events: Count = 1_000_000
    """Events not learned yet that the log holds; then requests are refused with `OVERLOADED`."""
    keep_events: Annotated[int, Field(ge=0)] = 100_000
    """Learned events that stay in the log, for replay, maps and evaluation."""


class EmbeddingSection(Section):
    """The embedding model, which runs in the router's process."""

    workers: Annotated[int, Field(ge=1, le=64)] | None = None
    """Threads with a model session each; unset: one per core."""
    queue: Count = 256
    """Prompts that wait for a worker; above it requests are refused with `OVERLOADED`."""
    cache_entries: Count = 10_000
    """Embeddings kept in memory, by text."""


class AuthSection(Section):
    """Who may call."""

    required: bool = True
    """Refuse callers without a key; with `no` they are the tenant `public`."""
    admin_key_env: str = ""
    """Environment variable that holds the operators' key; empty: there is no `AdminService`."""
