"""Scenarios: a change on the way, and the requests a policy may take to follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

DROP: Final = 0.3
PRICE_FACTOR: Final = 4.0
AREA: Final = 0.2


@dataclass(frozen=True, slots=True)
class Scenario:
    """A change of one stream.

    start, end: of the change, as shares of the stream; end None for one that stays.

    goal: `back` the reward is that of the best arm, `left` the arm is given up, `found` it is
    called again, `fair` as much as it would be otherwise, `spared` it is not called much, `still`
    nothing is lost. most: requests (a share of them for `spared`, reward for `still`) it may take;
    None where no mark is set.
    """

    name: str
    said: str
    goal: str
    most: float | None
    start: float = 0.4
    end: float | None = None


_ALL: Final = (
    Scenario("stationary", "nothing changes", "still", 0.0005),
    Scenario("drop", f"quality of the best arm -{DROP:g}, in silence", "back", 60),
    Scenario("outage", "quality of the best arm 0, no error says so", "left", 25),
    Scenario(
        "recovery",
        f"the best arm drops by {DROP:g} and recovers",
        "found",
        500,
        start=0.25,
        end=0.45,
    ),
    Scenario("price", f"price of the best arm times {PRICE_FACTOR:g} or more, known", "back", 1),
    Scenario("weights", "weight of cost times ten, known", "back", 1),
    Scenario("newcomer", "the best arm comes late", "fair", 300),
    Scenario("useless", "an arm that is dear and bad comes late", "spared", 0.05),
    Scenario("silent-price", "price of the best arm times 4 or more, in silence", "back", None),
    Scenario("area", f"best arm -.6 on the {AREA:.0%} of prompts next to one", "back", None),
)


def known_scenarios() -> Mapping[str, Scenario]:
    return {scenario.name: scenario for scenario in _ALL}
