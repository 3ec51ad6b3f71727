"""Nodes of Sentinel and Cluster as a config writes them."""

from __future__ import annotations

from collections.abc import Iterable


def nodes_named(names: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """Returns host and port of each `HOST:PORT`."""
    parts = (name.rpartition(":") for name in names)
    return tuple((host.strip("[]"), int(port)) for host, _, port in parts)
