"""What Acme has: tables, files, messages and metrics, made up."""
