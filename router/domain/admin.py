"""What an operator asks and tells, as the wire and the shell call it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from router.domain.events import GainFound, PolicyChanged, PolicyCommand


@dataclass(frozen=True, slots=True)
class Listing:
    """kinds: policy name by member, in the order of the config. found: of those who do not serve.

    version: of the snapshot that says so, 0 where there is none yet. changes: newest first.
    """

    kinds: Mapping[str, str]
    champion: str
    previous: str
    version: int
    found: Sequence[GainFound]
    changes: Sequence[PolicyChanged]


class Administration(Protocol):
    """Every method raises RouterError only."""

    async def policies(self) -> Listing: ...

    async def command(
        self, command: PolicyCommand, wait_s: float
    ) -> tuple[str, PolicyChanged | None]:
        """Position of the command in the log, and what came of it; None when nothing did in time.

        Raises PolicyUnknown.
        """
        ...
