"""What is inside stored files: text, rows, an address to fetch it from."""
