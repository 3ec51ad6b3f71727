"""Recorded outcomes replayed through the product's classes: how good the routing is."""
