"""Where each value comes from: the one list of subjects, each a file of schema/ and one of the same name here."""

from importlib import import_module
from types import ModuleType

from engine.binding import Binding

SUBJECTS = (
    "query", "customer", "order", "employee", "deployment", "usage", "file", "slack", "request", "azure",
    "drive", "monitoring", "github", "directory",
    "job",
)  # fmt: skip


def modules() -> tuple[ModuleType, ...]:
    """The modules of schema/ that make up what can be asked."""
    return tuple(import_module(f"schema.{each}") for each in SUBJECTS)


def bindings() -> dict[str, Binding]:
    """By type, where its values come from."""
    found = [import_module(f"resolvers.{each}").BINDINGS for each in SUBJECTS]
    return {binding.type: binding for each in found for binding in each}
