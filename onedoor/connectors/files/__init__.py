"""Serve files the same way from S3, Azure, Google Drive and local folders."""
