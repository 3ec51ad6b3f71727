"""Experiment: policies that choose among single arms."""
