"""Servers that speak the wire protocols of Azure Files and Azure Blob Storage, and check what signs each call."""
