"""Variants of the service: with and without Vowpal Wabbit, priced and blind."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from bandit.adaptive.policy import NAME as ADAPTIVE
from bench.lab.setup import Variant

OURS: Final = "adaptive, no VW"
OURS_VW: Final = "adaptive"
BLIND: Final = "blind to the request"
KEPT: Final = "first kept, learned"


@dataclass(frozen=True, slots=True)
class Product:
    """A way to choose by what the service has learned.

    vw: with the heads of Vowpal Wabbit. priced: by the request itself, else at a mean price. ahead:
    turns that are valued at most. keeps: the first choice stays. application, conversation,
    earlier: whether contexts tell them; earlier: questions of the turns before.
    """

    name: str
    vw: bool = False
    priced: bool = True
    ahead: float = 3.0
    keeps: bool = False
    application: bool = True
    conversation: bool = True
    earlier: bool = True

    @property
    def variant(self) -> Variant:
        return Variant(self.name, ADAPTIVE, self.vw)


PRODUCTS: Final = (
    Product(OURS),
    Product(OURS_VW, vw=True),
    Product(BLIND, priced=False, application=False, conversation=False, earlier=False),
    Product(KEPT, keeps=True),
)
PARTS: Final = (
    Product("this turn's price alone", ahead=0.0),
    Product("one turn ahead", ahead=1.0),
    Product("mean price, whole context", priced=False),
    Product("no application", application=False),
    Product("no features of the conversation", conversation=False),
    Product("no earlier questions", earlier=False),
    Product("the question alone", application=False, conversation=False, earlier=False),
    Product("and its application", conversation=False, earlier=False),
    Product("and the conversation's features", application=False, earlier=False),
    Product("and earlier questions", application=False, conversation=False),
)
"""Without VW, each with one part taken away."""


def compared(vw: str, *, parts: bool, only: Collection[str] = ()) -> tuple[Product, ...]:
    """Returns the products to run; vw: on, off or both. only: names, empty for all."""
    left_out = {"on": OURS, "off": OURS_VW}.get(vw)
    chosen = tuple(p for p in PRODUCTS if p.name != left_out) + (PARTS if parts else ())
    return tuple(p for p in PRODUCTS + PARTS if p.name in only) if only else chosen
