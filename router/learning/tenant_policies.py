"""Policies of tenants' own, each begun with what all tenants together had taught."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from bandit.types import Policy


class TenantPolicies:
    """Whose policies are there; one begins with the first outcome of its tenant.

    tenants: who shall have one. begin: from the shared policy a copy that may go its own way.
    policies: of earlier.
    """

    def __init__(
        self,
        tenants: Collection[str],
        begin: Callable[[Policy], Policy],
        policies: Mapping[str, Policy] | None = None,
    ) -> None:
        self.policies: dict[str, Policy] = dict(policies or {})
        self._tenants = tenants
        self._begin = begin

    def of(self, tenant: str, shared: Policy) -> Policy | None:
        """None for who has none of its own."""
        if tenant not in self._tenants:
            return None
        if tenant not in self.policies:
            self.policies[tenant] = self._begin(shared)
        return self.policies[tenant]
