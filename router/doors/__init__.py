"""Shared by every door: what a tenant may take, and what a request may hold."""
