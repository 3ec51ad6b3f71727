"""How alike two texts are by their letters, told from fingerprints that hold none of them.

Of the text's runs of four characters the least hash in each of 64 bins is kept (Broder 1997, On the
resemblance and containment of documents; one hash for all bins: Li, Owen & Zhang 2012). The share
of bins in which two fingerprints are the same estimates how many runs two texts share, which one
edit changes by four at most.
"""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np

MOST_CHARS: Final = 4_000
"""Of a longer text the end is read: what is asked mostly stands there."""
RUN: Final = 4
BINS: Final = 64
_EMPTY: Final = np.iinfo(np.uint32).max


def fingerprint(text: str) -> bytes:
    """(64,) uint32 as bytes. Case and white space make no difference."""
    plain = " ".join(text[-MOST_CHARS:].lower().split())
    runs = {plain[i : i + RUN] for i in range(max(1, len(plain) - RUN + 1))}
    hashes = np.array([zlib.crc32(run.encode()) for run in runs], dtype=np.uint32)
    least = np.full(BINS, _EMPTY, dtype=np.uint32)
    np.minimum.at(least, hashes % BINS, hashes // BINS)
    return least.tobytes()


def likeness(one: bytes, other: bytes) -> float:
    """In [0, 1]; 1 for the same words, 0 where either is no fingerprint.

    >>> a, b, c = map(fingerprint, ("Plan a trip to Rome.", "Plan  a trip to rome.", "Why is that"))
    >>> likeness(a, b), likeness(a, c) < 0.2
    (1.0, True)
    """
    if not len(one) == len(other) == BINS * 4:
        return 0.0
    a, b = (np.frombuffer(data, dtype=np.uint32) for data in (one, other))
    filled = np.minimum(a, b) < _EMPTY
    return float((a == b)[filled].mean()) if filled.any() else 0.0
