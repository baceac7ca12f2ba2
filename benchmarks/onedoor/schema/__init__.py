"""The schema of the benchmark: music, a shop and a forum."""
