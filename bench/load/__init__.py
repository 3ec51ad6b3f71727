"""Measurements of speed: real processes, synthetic requests."""
