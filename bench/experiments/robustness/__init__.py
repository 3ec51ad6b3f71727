"""Experiment: prompts in other words, and the arms they are routed to."""
