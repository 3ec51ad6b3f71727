"""What another policy would have earned on the decisions a policy has logged."""

from bandit.offpolicy.confidence import Interval, confidence_sequence
from bandit.offpolicy.estimates import (
    Estimated,
    Logged,
    doubly_robust,
    effective_size,
    importance_weights,
)
from bandit.offpolicy.model import cross_fitted

__all__ = [
    "Estimated",
    "Interval",
    "Logged",
    "confidence_sequence",
    "cross_fitted",
    "doubly_robust",
    "effective_size",
    "importance_weights",
]
