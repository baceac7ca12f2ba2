"""Acme Inc. as plain values: every row is a function of its table's name and its number, so any part is made alone."""
