"""A contextual bandit: contexts in, honest choices out, outcomes back in. Knows no I/O client."""

from __future__ import annotations

from bandit.context.context_map import ContextMap
from bandit.errors import BanditError
from bandit.registry import POLICY_NAMES, load_policy, make_policy
from bandit.settings import ContextShape, PolicySettings
from bandit.types import (
    Action,
    Context,
    Decision,
    Estimate,
    Outcome,
    Policy,
    PromptFacts,
    Units,
    Weights,
)

__all__ = [
    "POLICY_NAMES",
    "Action",
    "BanditError",
    "Context",
    "ContextMap",
    "ContextShape",
    "Decision",
    "Estimate",
    "Outcome",
    "Policy",
    "PolicySettings",
    "PromptFacts",
    "Units",
    "Weights",
    "load_policy",
    "make_policy",
]
