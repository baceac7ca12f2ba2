"""Emulate Slack."""
