"""Commands that work on a store, a log or prompts; one folder each."""
