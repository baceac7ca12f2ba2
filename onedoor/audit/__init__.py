"""Write, read and verify the append-only, hash-chained audit log."""
