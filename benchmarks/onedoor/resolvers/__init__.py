"""Where each value of the benchmark comes from, file by file as in schema/."""
