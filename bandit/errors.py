"""Errors of the bandit; every message says what to change."""

from __future__ import annotations


class BanditError(Exception):
    """Root of the tree: catching it catches everything the bandit raises on purpose."""


class BadInput(BanditError):
    """A caller's value is out of its range."""


class BadContext(BadInput):
    """A context, or what it is made from, has the wrong dimensions or a non-finite number."""


class BadAction(BadInput):
    """An action cannot be used as given: its price, a duplicate name, one too many."""


class BadOutcome(BadInput):
    """An outcome holds a number outside its range."""


class BadWeights(BadInput):
    """A utility weight is negative or not finite."""


class BadSettings(BadInput):
    """A setting is outside its range."""


class NoEligibleAction(BadInput):
    """There is nothing to choose from."""


class UnknownPolicy(BadInput):
    """No policy has this name."""


class VersionMismatch(BanditError):
    """A snapshot or context is of another context map, snapshot format or policy."""


class CorruptSnapshot(BanditError):
    """A snapshot is damaged or holds non-finite numbers."""


class AbsurdSnapshot(BanditError):
    """A snapshot is whole, yet its answers can't have been learned."""


class CorruptContextMap(BanditError):
    """A context map's file is damaged or was not written by `ContextMap.save`."""
