"""Local servers that speak the vendors' protocols."""
