"""Analysis of the collected answers: a policy, its figures and advice; no I/O."""
