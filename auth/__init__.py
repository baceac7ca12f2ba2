"""Decide who a request comes from, and what they may see."""
