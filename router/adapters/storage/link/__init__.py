"""The way to a store: its address, its failures, and whether it serves."""
