"""What another policy would have earned on the decisions a policy has logged."""

from bandit.offpolicy.confidence import Interval, confidence_sequence, interval_of
from bandit.offpolicy.estimates import (
    Estimated,
    Logged,
    doubly_robust,
    effective_size,
    importance_weights,
)
from bandit.offpolicy.model import cross_fitted
from bandit.offpolicy.tally import GainTally, Weighed

__all__ = [
    "Estimated",
    "GainTally",
    "Interval",
    "Logged",
    "Weighed",
    "confidence_sequence",
    "cross_fitted",
    "doubly_robust",
    "effective_size",
    "importance_weights",
    "interval_of",
]
