"""One file per policy; `bandit.registry` knows them by name."""
