"""How a client reaches the router: its address, key, and what is said with every call."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import grpc

from adaptive_router_client.errors import RouterError
from adaptive_router_client.failures import router_error
from adaptive_router_client.retry import Patience, Retry

Metadata = tuple[tuple[str, str], ...]
MOST_REPLY_BYTES = 64 * 1024 * 1024
URLS = "http://", "https://", "grpc://", "grpcs://"
MOST_RECONNECT_MS = 2_000
"""gRPC waits up to two minutes by itself, and refuses calls although the router is back."""


def _new_key() -> str:
    return uuid.uuid4().hex


def _version() -> str:
    try:
        return version("adaptive-router-client")
    except PackageNotFoundError:  # run from its sources
        return "0"


@dataclass(frozen=True, slots=True)
class Settings:
    """Shared by both clients.

    target: HOST:PORT, or any name that gRPC resolves. key: of the tenant, "" for none.
    tls: True trusts the system's authorities; credentials say more, such as a certificate of one's
    own. timeout_s: of a call with all its retries, where the call names none.
    options: of the channel, which win over this client's. more: metadata of each call, asked for
    as it is sent: a trace context, for one.
    """

    target: str
    key: str = field(default="", repr=False)
    tls: bool | grpc.ChannelCredentials = False
    timeout_s: float = 60.0
    retry: Retry = field(default_factory=Retry)
    options: Sequence[tuple[str, Any]] = ()
    more: Callable[[], Iterable[tuple[str, str]]] = tuple
    new_key: Callable[[], str] = _new_key
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        # gRPC would say it with the key in its message.
        if not all("!" <= sign <= "~" for sign in self.key):
            raise ValueError("key: it holds a sign that is neither a letter, a digit nor ASCII")
        # gRPC would look for a host of that name until the deadline.
        if not self.target or self.target.startswith(URLS) or " " in self.target:
            fix = "such as 127.0.0.1:8480, without http:// or blanks; tls=True in place of https://"
            raise ValueError(f"target: write HOST:PORT, {fix}")

    @property
    def metadata(self) -> Metadata:
        own = (("authorization", f"Bearer {self.key}"),) if self.key else ()
        return (*own, *self.more())

    @property
    def credentials(self) -> grpc.ChannelCredentials | None:
        """None for a plaintext channel."""
        if isinstance(self.tls, bool):
            return grpc.ssl_channel_credentials() if self.tls else None
        return self.tls

    @property
    def channel_options(self) -> list[tuple[str, Any]]:
        own = {
            "grpc.primary_user_agent": f"adaptive-router-client/{_version()}",
            "grpc.max_receive_message_length": MOST_REPLY_BYTES,
            "grpc.max_reconnect_backoff_ms": MOST_RECONNECT_MS,
        }
        return list((own | dict(self.options)).items())

    def patience(self, timeout_s: float | None, *, repeatable: bool) -> Patience:
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        ends_s = self.clock() + limit_s
        return Patience(self.retry, ends_s, self.clock, repeatable, self.chance)


def known(error: grpc.RpcError, key: str) -> RouterError:
    """Returns the error of the tree, with the idempotency key that was sent."""
    found = router_error(error)
    found.idempotency_key = key
    return found
