"""Requests: the door's own journal, read as it is written."""

from engine.binding import Binding

BINDINGS = (Binding(type="Request", source="journal", collection="requests"),)
