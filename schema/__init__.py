"""Declare what can be queried of Acme: one file a subject."""
