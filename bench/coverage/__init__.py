"""How often the intervals of `evaluate` hold what another policy would really have earned."""
