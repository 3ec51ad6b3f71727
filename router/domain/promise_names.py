"""Whose promise it is: that of a plan for everybody, or of a plan for one tenant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

_FOR: Final = "/"
"""No plan's name has one."""

T = TypeVar("T")


def holder(plan: str, tenant: str = "") -> str:
    """The name that a promise goes by.

    >>> holder("checked"), holder("checked", "acme")
    ('checked', 'checked/acme')
    """
    return f"{plan}{_FOR}{tenant}" if tenant else plan


def of_plan(name: str) -> str:
    """The plan of a holder.

    >>> of_plan("checked/acme")
    'checked'
    """
    return name.partition(_FOR)[0]


def renamed(name: str, names: Mapping[str, str]) -> str:
    """The same with the plan's name of today."""
    plan, mark, tenant = name.partition(_FOR)
    return f"{names.get(plan, plan)}{mark}{tenant}"


def kept_for(promises: Mapping[str, T], plan: str, tenant: str) -> T | None:
    """A tenant's own, else everybody's; None where nothing is promised."""
    own = promises.get(holder(plan, tenant))
    return promises.get(plan) if own is None else own
