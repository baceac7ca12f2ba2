"""The mappings of the benchmark, in files named as in schema/."""
