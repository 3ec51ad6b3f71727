"""The value of one policy on the decisions that another one has logged."""

from bandit.frontier import Interval
from bandit.offpolicy.confidence import confidence_sequence, interval_of
from bandit.offpolicy.estimates import (
    Estimated,
    LoggedDecisions,
    cross_fitted,
    doubly_robust,
    effective_size,
    importance_weights,
)
from bandit.offpolicy.tally import GainTally, Weighed

__all__ = [
    "Estimated",
    "GainTally",
    "Interval",
    "LoggedDecisions",
    "Weighed",
    "confidence_sequence",
    "cross_fitted",
    "doubly_robust",
    "effective_size",
    "importance_weights",
    "interval_of",
]
