"""One request from admission to the recorded answer."""
