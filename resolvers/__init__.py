"""Where each value comes from: the one list of subjects, each a file of schema/ and one of the same name here."""

from importlib import import_module
from types import ModuleType

from engine.binding import Binding
from engine.change.bindings import with_history
from engine.change.declared import Declared
from engine.feed import Feed

SUBJECTS = (
    "query", "customer", "order", "employee", "deployment", "usage", "file", "slack", "request", "azure",
    "drive", "monitoring", "github", "directory", "change", "deploying",
)  # fmt: skip


def modules() -> tuple[ModuleType, ...]:
    """The modules of schema/ that make up what can be asked."""
    return tuple(import_module(f"schema.{each}") for each in SUBJECTS)


def bindings() -> dict[str, Binding]:
    """By type, where its values come from."""
    found = [import_module(f"resolvers.{each}").BINDINGS for each in SUBJECTS]
    return with_history(
        {binding.type: binding for each in found for binding in each}, (each.type for each in changes())
    )


def changes() -> tuple[Declared, ...]:
    """What can be changed, and how."""
    found = [getattr(import_module(f"resolvers.{each}"), "CHANGES", ()) for each in SUBJECTS]
    return tuple(each for declared in found for each in declared)


def feeds() -> dict[str, Feed]:
    """By what can be listened to, what is listened for."""
    found = [getattr(import_module(f"resolvers.{each}"), "FEEDS", {}) for each in SUBJECTS]
    return {field: feed for declared in found for field, feed in declared.items()}
