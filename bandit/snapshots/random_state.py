"""The random source's state as JSON, so that a restored policy draws the same numbers."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from bandit.errors import BadSettings


def check_generator(rng: np.random.Generator) -> None:
    """Raises BadSettings for a generator whose state a snapshot cannot hold."""
    if not isinstance(rng.bit_generator, np.random.PCG64):
        raise BadSettings("use numpy.random.default_rng(seed) as the random source")


def state_of(rng: np.random.Generator) -> dict[str, Any]:
    return dict(rng.bit_generator.state)


def generator_of(state: dict[str, Any]) -> np.random.Generator:
    """Raises ValueError, TypeError or KeyError for a state `state_of` did not give."""
    bits = np.random.PCG64(0)
    bits.state = cast(Any, state)
    return np.random.Generator(bits)
