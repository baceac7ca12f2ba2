"""What can be asked of the benchmark: the music, the shop, the forum."""
