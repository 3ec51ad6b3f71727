"""Judging an answer: what its text shows, and whether to accept, ask again or escalate."""
