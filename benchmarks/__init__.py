"""Compare Onedoor with the limit and with what a team would write by hand: `make bench`."""
