"""From collected answers to a policy, its figures and advice; no I/O."""
