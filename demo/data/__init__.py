"""Make up Acme's data: tables, files, messages and metrics."""
