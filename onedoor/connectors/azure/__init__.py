"""Serve Azure Files and Azure Blob Storage."""
