"""Failures of attempts as the operator and the caller have to hear them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from router.domain.catalog import Catalog
from router.domain.errors import (
    AccountFault,
    AllAttemptsFailed,
    ContentRefused,
    ContextTooLong,
    Fault,
    ProviderContentRefused,
    ProviderContextTooLong,
    ProviderError,
    ProviderUnavailable,
    RequestRefused,
    RouterError,
)
from router.domain.records import Attempt

_REFUSALS: Final[dict[type[ProviderError], tuple[type[RequestRefused], str]]] = {
    ProviderContextTooLong: (
        ContextTooLong,
        "the request is too long for every model that may answer: send less, or permit other arms",
    ),
    ProviderContentRefused: (
        ContentRefused,
        "a provider's filter refused the request: change what it says, or permit other arms",
    ),
}
_REFUSED: Final = (
    RequestRefused,
    "every provider that may answer refused the request: change it, or permit other arms",
)

_log = logging.getLogger(__name__)


class AccountFaults:
    """Faults of deployments' accounts, as they were last told; each change is logged once.

    current: by deployment, until it answers or fails for another reason. unreached: deployments
    that no connection leads to, with the place where the way ended. told: of which something was
    said since they answered last.
    """

    def __init__(self) -> None:
        self.current: dict[str, ProviderError] = {}
        self.unreached: dict[str, str] = {}
        self.told: set[str] = set()

    def answered(self, deployment: str) -> None:
        self.current.pop(deployment, None)
        self.unreached.pop(deployment, None)
        self.told.discard(deployment)

    def forget(self) -> list[str]:
        """Take what an operator has changed for mended. Returns the deployments concerned."""
        names = list(self.current)
        self.current.clear()
        return names

    def note(self, deployment: str, error: ProviderError) -> None:
        """Log the failure of an attempt: names and numbers only."""
        told = deployment, error.reason.lower(), error.status or "-", error.code or "-"
        _log.info("an attempt failed: deployment %s, %s, status %s, code %s", *told)
        self.told.add(deployment)
        self._note_way(deployment, error)
        if error.fault is Fault.PASSING:
            self.current.pop(deployment, None)
        if error.fault is not Fault.ACCOUNT:
            return
        before = self.current.get(deployment)
        self.current[deployment] = error
        if before is None or _said(before) != _said(error):
            _log.warning(
                "deployment %s does not take this router's calls: %s, status %s, code %s:"
                " mend its key, credit, model or base_url",
                *told,
            )

    def _note_way(self, deployment: str, error: ProviderError) -> None:
        if not (isinstance(error, ProviderUnavailable) and error.unreached):
            self.unreached.pop(deployment, None)
        elif not error.hurried and self.unreached.get(deployment) != error.code:
            self.unreached[deployment] = error.code
            _log.warning(
                "deployment %s can't be reached: %s: look at its base_url, the network and the"
                " proxy; check-config --probe says more",
                deployment,
                error.code or "-",
            )


def _said(error: ProviderError) -> tuple[str, int | None, str]:
    return error.reason, error.status, error.code


def failure_of(
    attempts: Sequence[Attempt],
    errors: Sequence[ProviderError],
    catalog: Catalog,
    known: Mapping[str, ProviderError],
    decision_id: str,
) -> RouterError:
    """Returns the error of a request that no attempt has answered.

    errors: of the attempts, as far as a provider made them. known: faults of accounts, for arms
    none of whose deployments was called.
    """
    metadata, told = {"decision_id": decision_id}, list(errors)
    passing = len(errors) < sum(bool(attempt.deployment) for attempt in attempts)
    for attempt in attempts:
        if not attempt.deployment:
            held = list(_held_back(catalog, attempt.arm, known))
            told += held
            passing = passing or not held
    refused = [error for error in told if error.fault is Fault.REQUEST]
    if passing or not told or any(error.fault is Fault.PASSING for error in told):
        message = "no provider could answer: try again later"
        return AllAttemptsFailed(message, metadata=metadata)
    if refused:
        made, message = _REFUSALS.get(type(refused[-1]), _REFUSED)
        return made(message, metadata=metadata | _named(refused[-1]))
    message = "no deployment that may answer takes the router's calls: its operator has to act"
    more = {"why": told[-1].reason.lower()} | _named(told[-1])
    return AccountFault(message, metadata=metadata | more)


def _held_back(
    catalog: Catalog, arm: str, known: Mapping[str, ProviderError]
) -> Iterator[ProviderError]:
    """Yields the faults of all deployments of an arm, none where one of them has none."""
    names = [deployment.name for deployment in catalog.arms[arm].deployments]
    if all(name in known for name in names):
        yield from (known[name] for name in names)


def _named(error: ProviderError) -> dict[str, str]:
    named = {"provider_code": error.code, "provider_parameter": error.parameter}
    return {name: value for name, value in named.items() if value}
