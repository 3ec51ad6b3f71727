"""Experiment: plans with a gate, on recorded answers."""
