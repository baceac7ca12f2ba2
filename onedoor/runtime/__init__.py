"""Protect sources, keep to their quotas, cache rows, publish events and run work concurrently."""
