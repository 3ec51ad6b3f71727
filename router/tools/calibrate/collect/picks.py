"""Picks prompts balanced over the clusters of the context map; more picks contain the fewer.

Clusters share the picks in proportion to their prompts in the file, but each has one at least:
stratified sampling with proportional allocation (Cochran, Sampling Techniques, 1977, ch. 5),
rounded by Webster's method, by which nobody loses a pick when one more is to be had. Within a
cluster prompts are ordered by a random number that each has for good, a hash of its text (Ohlsson,
Coordination of samples using permanent random numbers, 1995), so that a longer run goes on where a
shorter one stopped.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence

from bandit.types import Context
from router.domain.requests import request_digest
from router.tools.calibrate.collect.prompts import Prompt


def cluster_of(context: Context) -> int:
    """Returns the cluster that a prompt belongs to most."""
    return int(context.membership.argmax())


def picking_order(
    prompts: Sequence[Prompt], clusters: Sequence[int], paid: Collection[int], seed: int
) -> list[int]:
    """Returns places of prompts in the order in which they are picked.

    clusters: of each prompt. paid: places of prompts that something was paid for; they come first
    in their cluster, whatever was changed since.
    """
    queues: dict[int, list[tuple[bool, bytes, int]]] = {}
    for place, (prompt, cluster) in enumerate(zip(prompts, clusters, strict=True)):
        drawn = place not in paid, _number(prompt, seed), place
        queues.setdefault(cluster, []).append(drawn)
    ordered = {cluster: [place for *_, place in sorted(q)] for cluster, q in queues.items()}
    sizes = {cluster: len(places) for cluster, places in ordered.items()}
    upcoming = {cluster: iter(places) for cluster, places in ordered.items()}
    return [next(upcoming[cluster]) for cluster in apportioned(sizes)]


def apportioned(sizes: Mapping[int, int]) -> Iterator[int]:
    """Yields the cluster of each pick: every cluster once, large ones first, then by share.

    sizes: prompts by cluster.

    >>> list(apportioned({3: 4, 5: 1, 8: 2}))
    [3, 8, 5, 3, 3, 8, 3]
    """
    yield from sorted(sizes, key=lambda cluster: (-sizes[cluster], cluster))
    # Webster: a cluster with k picks asks for the next by its size over k + 1/2.
    waiting = [(-size / 1.5, -size, cluster, 1) for cluster, size in sizes.items() if size > 1]
    heapq.heapify(waiting)
    while waiting:
        _, negative, cluster, picked = waiting[0]
        yield cluster
        if picked + 1 < -negative:
            entry = (negative / (picked + 1.5), negative, cluster, picked + 1)
            heapq.heapreplace(waiting, entry)
        else:
            heapq.heappop(waiting)


def _number(prompt: Prompt, seed: int) -> bytes:
    told = f"{seed} {request_digest(prompt.chat)}".encode()
    return hashlib.blake2b(told, digest_size=16, person=b"calibrate").digest()
