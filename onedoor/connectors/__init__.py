"""Connect to outside systems: one module or folder for each kind of source."""
