"""Diagnoses deployments by a call of each, for `check-config --probe`."""
