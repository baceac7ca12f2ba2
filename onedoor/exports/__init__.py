"""Write answers of any size to files."""
