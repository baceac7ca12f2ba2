"""Emulate Azure Files and Azure Blob Storage."""
