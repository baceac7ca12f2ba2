"""Files, wherever they are kept."""
