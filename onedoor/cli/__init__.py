"""Offer the product's commands on the command line."""
