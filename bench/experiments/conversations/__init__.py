"""Experiment: recorded outcomes made into conversations with a provider's prompt cache."""
