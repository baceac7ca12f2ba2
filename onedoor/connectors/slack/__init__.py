"""Connect to Slack: its users, channels and messages."""
