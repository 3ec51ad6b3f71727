"""The certificate that the doors show, and the authorities whose clients may come in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class DoorIdentity:
    """chain, key: PEM. client_ca: of the clients' authorities, PEM; empty: any client may call.

    context: an `ssl.SSLContext` of these, for servers of Python's. expires_s: since the epoch.
    """

    chain: bytes
    key: bytes
    client_ca: bytes
    context: Any
    expires_s: float


@dataclass(slots=True)
class CurrentIdentity:
    """The one that new connections get; exchanged when its files are."""

    identity: DoorIdentity
