"""Azure Files and Blob Storage."""
