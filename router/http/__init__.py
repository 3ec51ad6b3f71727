"""The HTTP doors: dialects of chat APIs over the one service."""
