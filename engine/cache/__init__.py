"""Rows that were read a moment ago, in place of reading them again: what a store is, and the ones who wait together."""
