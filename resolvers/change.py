"""What is said of every change: its bindings are made of those of what is changed."""

from onedoor.model.mapping import TypeMapping

MAPPINGS: tuple[TypeMapping, ...] = ()
