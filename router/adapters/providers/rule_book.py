"""The form of requests that each deployment takes, as far as that is known."""

from __future__ import annotations

from router.adapters.providers.hosts import resolved
from router.domain.catalog import Deployment


class RuleBook(dict[Deployment, Deployment]):
    """Deployment of a config -> the same with all rules that are known for it."""

    def __missing__(self, deployment: Deployment) -> Deployment:
        self[deployment] = known = resolved(deployment)
        return known
