"""Replay recorded outcomes through the service's own classes, and report what came of it."""
