"""What a call of a deployment shows of its config, for `check-config --probe`."""
