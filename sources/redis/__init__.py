"""Redis, where replicas keep what they read for one another: sealed, so that nobody reads it there or puts in his."""
