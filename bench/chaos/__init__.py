"""Processes killed at random under load; what was acknowledged is held against what is there."""
