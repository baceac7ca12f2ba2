"""What differs by SQL dialect."""
