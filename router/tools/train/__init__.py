"""Learning a log again from nothing: `train` and `learner replay`."""
