"""Picks and verdicts in, fetches out: what to ask of which source, and what is left for us to finish."""
