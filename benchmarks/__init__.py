"""Onedoor beside the limit and beside what a team would write by hand, in one run: `make bench`."""
