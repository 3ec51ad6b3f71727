"""Every prompt to every arm once, within a budget, and how good each answer is."""
