"""One file per step of the history; each names the one before it."""
