"""A promise a user can state: of the cheap answers that are accepted, few turn out bad.

`max_bad: 0.05, confidence: 0.95`. Answers are accepted only where their score is at or above a
threshold for which there is evidence; without evidence none is.

What is promised, exactly. Answers are those the gate would accept; the score of each is the one
it had at its time, before its own label was learned. For every threshold t and moment, let
R(t) be the mean, over the labelled answers of this epoch with a score >= t, of the probability
that the answer is bad given all labels before it. Then with the stated confidence:

- Under a steady risk (each R(t) the same at all times) no threshold that is ever certified in an
  epoch has R(t) > max_bad: all thresholds, all moments, however often one looks.
- Under any drift each threshold by itself: at no moment is it certified while R(t) > max_bad.
  R(t) is an average since the epoch began. It says nothing of a stretch shorter than that: for
  that there is the guard, which withdraws every certificate and begins a new epoch when the
  labels of accepted answers run above max_bad. Between a change and that withdrawal accepted
  answers are served: about (labels the guard needs) / (share of them that is audited).

What it rests on: which answers are labelled, and in which order the labels come, does not depend
on whether they are bad, but for the sampling probability that is told. Audits are that;
voluntary feedback is not, and counts only where the settings say so. "Bad" is what the label
says: a stronger arm that errs, or a judge, sets the limit of what it means. The confidence is of
each epoch, not of all that ever come.
"""

from bandit.promise.outlook import least_labels
from bandit.promise.promise import Promise
from bandit.promise.types import PromiseSettings, PromiseStatus, Source

__all__ = ["Promise", "PromiseSettings", "PromiseStatus", "Source", "least_labels"]
