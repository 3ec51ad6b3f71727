"""Arms made of recorded ones by a stated rule: many arms to choose among on prompts of one set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DRAW_BYTES = 4


@dataclass(frozen=True, slots=True)
class MadeArm:
    """An arm that answers as `other` on a share of the prompts, and as `usual` on the rest.

    The prompt's hash with the arm's name says which. by: a column whose value is hashed instead, so
    that the arm is as good as the one or the other on whole topics; "" for the prompt itself.
    It costs `price` times the mix of what both cost on the prompt.

    price: factor on cost.
    """

    name: str
    usual: str
    other: str
    share: float
    price: float
    by: str = ""

    def outcome(
        self, usual: NDArray[np.float64], other: NDArray[np.float64], draws: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Returns (n, 2), quality and cost. usual, other: theirs. draws: (n,) in [0, 1)."""
        quality = np.where(draws < self.share, other[:, 0], usual[:, 0])
        mixed = (1 - self.share) * usual[:, 1] + self.share * other[:, 1]
        return np.column_stack([quality, self.price * mixed])


def draws_of(name: str, texts: Sequence[str]) -> NDArray[np.float64]:
    """Returns a number in [0, 1) for each text, the same every time; name: of the arm.

    >>> draws_of("m1", ["a", "b", "a"]).round(3).tolist()
    [0.28, 0.6, 0.28]
    """
    hashes = (hashlib.blake2b(f"{name}/{t}".encode(errors="replace"), digest_size=4) for t in texts)
    found = [int.from_bytes(each.digest()) / 2 ** (8 * _DRAW_BYTES) for each in hashes]
    return np.array(found)


def with_made(
    arms: Sequence[str],
    quality: NDArray[np.float64],
    cost_usd: NDArray[np.float64],
    made: Sequence[MadeArm],
    columns: dict[str, Sequence[str]],
) -> tuple[tuple[str, ...], NDArray[np.float64], NDArray[np.float64]]:
    """Returns names, qualities and costs of the arms with those made of them behind.

    columns: texts that draws are by, "" for the prompts.
    """
    known = {arm: np.column_stack([quality[:, i], cost_usd[:, i]]) for i, arm in enumerate(arms)}
    for one in made:
        draws = draws_of(one.name, columns[one.by])
        known[one.name] = one.outcome(known[one.usual], known[one.other], draws)
    both = np.stack(list(known.values()), axis=1)
    return tuple(known), both[:, :, 0], both[:, :, 1]
