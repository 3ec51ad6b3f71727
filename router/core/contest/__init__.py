"""Challengers that learn beside the policy that serves, and what their evidence leads to."""
