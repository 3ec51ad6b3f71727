"""Experiment: outcomes that change on the way, and how soon a policy follows."""
