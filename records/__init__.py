"""What happened: one record for every request."""
