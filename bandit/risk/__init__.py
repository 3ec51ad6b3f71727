"""A promise a user can state: of the cheap answers that are accepted, few turn out bad.

`max_bad: 0.05, confidence: 0.95`. Answers are accepted only where their score is at or above a
threshold for which there is evidence; without evidence none is.

What is promised, exactly. Answers are those the gate would accept; the score of each is the one
it had at its time, before its own label was learned, so a gate may learn as it goes. For every
threshold t and moment, let R(t) be the mean, over the answers of this epoch labelled so far with
a score >= t, of the probability that the answer is bad given what came before it. Then, with the
stated confidence:

- While risks are steady (each R(t) the same at all moments) no threshold with R(t) > max_bad is
  ever certified in an epoch: all thresholds, all moments, however often one looks.
- Under any drift, each threshold by itself: at no moment is it certified while R(t) > max_bad.

R(t) is a mean since the epoch began, calibration included, and not the share of the next hundred
answers. For those there are three brakes, which promise nothing but act: one bad answer among
the accepted halts until about ten good ones made up for it, recent labels must not speak against
a threshold, and where bad answers go on, all evidence is withdrawn and a new epoch begins. A
sudden change is seen at the first bad answer that is audited: after about 1 / (audited share) bad
ones. At an audited share of 2 % that is 50; no method that sees only those can be quicker.

What it rests on: which answers are labelled, and in which order their labels come, does not
depend on whether they are bad, but through the sampling probability. Audits are
like that. Voluntary feedback is not, and counts only where the settings say so. "Bad" is what the
label says: a stronger arm or a judge that errs bounds what it means. The confidence is that of
each epoch.

While nothing is permitted no answer is accepted, so audits of accepted ones would never come:
label then what would have been accepted (compare it with the strong answer that is in hand), or
calibrate. Scores of calibrated answers count as evidence only where each was made before the
label of that answer, or of a later one, was learned; cross-fitted scores only nearly are.
"""

from bandit.risk.promise import Promise
from bandit.risk.status import least_labels
from bandit.risk.types import LabelSource, PromiseSettings, PromiseStatus

__all__ = ["LabelSource", "Promise", "PromiseSettings", "PromiseStatus", "least_labels"]
