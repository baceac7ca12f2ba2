"""The types every company has."""
