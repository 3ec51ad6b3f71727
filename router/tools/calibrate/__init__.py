"""Calibration: every arm answers every prompt once; the answers train a snapshot and a report."""
