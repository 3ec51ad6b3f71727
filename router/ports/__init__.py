"""What the router needs from outside: one protocol for each thing that an adapter provides."""
