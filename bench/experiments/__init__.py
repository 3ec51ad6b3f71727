"""Experiments on recorded outcomes, each a command of `scripts/bench`."""
