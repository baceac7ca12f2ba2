"""Resilience, quotas, caches, events and concurrency."""
