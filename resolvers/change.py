"""What is said of every change: its bindings are made of those of what is changed."""

from engine.binding import Binding

BINDINGS: tuple[Binding, ...] = ()
