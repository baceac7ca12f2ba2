"""The door: bytes and headers in, bytes and one record out."""
