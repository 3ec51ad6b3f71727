"""Estimators that learn one outcome at a time; they know no policy."""
