"""Picks, rows and verdicts in, the reply's data and its faults out."""
