"""Serving on while the store is away: from memory, with what is to be written kept on disk."""
