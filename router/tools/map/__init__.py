"""The semantic routing map: what kinds of prompts there are, and which plan answers which."""
