"""Acme Inc.: a made-up company, and local servers that speak the vendors' wire protocols."""
