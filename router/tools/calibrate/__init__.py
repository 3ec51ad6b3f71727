"""Calibration: every prompt to every arm once, and what to make of the answers.

Pure leaves (prompts, matching, plan results, training, figures) and a thin edge (journal, calls,
terminal); `router.tools.calibrate.run` composes them.
"""
