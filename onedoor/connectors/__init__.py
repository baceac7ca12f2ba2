"""Everything outside: one module or folder a kind of source."""
