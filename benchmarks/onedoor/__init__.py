"""The door of the benchmark: a shop, a record collection and a forum, each subject a file here as in the product."""

from importlib import import_module
from types import ModuleType

from engine.act import Action
from engine.binding import Binding
from engine.change.declared import Declared
from engine.desk import Desk
from engine.feed import Feed
from exports.clerk import Clerk
from resolvers.query import BINDINGS as CALLER
from schema import query
from work.starting import Starting

SUBJECTS = ("music", "shop", "forum")


def modules() -> tuple[ModuleType, ...]:
    """The modules that make up what can be asked."""
    return query, *(import_module(f"benchmarks.onedoor.schema.{each}") for each in SUBJECTS)


def bindings() -> dict[str, Binding]:
    """By type, where its values come from."""
    found = [import_module(f"benchmarks.onedoor.resolvers.{each}").BINDINGS for each in SUBJECTS]
    return {binding.type: binding for each in (CALLER, *found) for binding in each}


def changes() -> tuple[Declared, ...]:
    """Nothing: the benchmark only reads."""
    return ()


def actions(desk: Desk) -> dict[str, Action]:
    """Nothing."""
    return {}


def feeds() -> dict[str, Feed]:
    """Nothing."""
    return {}


def acting(starting: Starting, clerk: Clerk) -> dict[str, Action]:
    """Nothing."""
    return {}
