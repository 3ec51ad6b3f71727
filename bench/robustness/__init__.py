"""Whether a prompt said otherwise, or one that asks for a model, keeps its arm."""
