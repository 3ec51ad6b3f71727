"""A caller's verifier: the program that can tell whether an answer is good."""

from __future__ import annotations

from router.adapters.verifier.http import HttpVerifier, make_client

__all__ = ["HttpVerifier", "make_client"]
