"""Learned state as versioned, checksummed bytes."""
