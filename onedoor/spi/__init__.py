"""Define what a connector implements."""
