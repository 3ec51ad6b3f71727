"""Requests in the form that each protocol and each deployment takes."""
