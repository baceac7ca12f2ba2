"""What a connector implements."""
