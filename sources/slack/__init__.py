"""Slack as a source: users, channels, messages and replies through the Web API."""
