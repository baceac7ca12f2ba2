"""Read databases and API descriptions and write a company's files."""
