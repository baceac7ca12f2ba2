"""The door of the benchmark: a shop, a record collection and a forum, each subject a file here as in the product."""

from importlib import import_module
from types import ModuleType

from onedoor.connectors.principal import MAPPINGS
from onedoor.exports.audited_query import AuditedExecutor
from onedoor.jobs.service import JobService
from onedoor.model.catalog import Action, SubscriptionSource
from onedoor.model.mapping import TypeMapping
from onedoor.mutations.declarations import MutationDeclaration
from onedoor.query.context import QueryEngine
from onedoor.schema.builtin import me

SUBJECTS = ("music", "shop", "forum")


def modules() -> tuple[ModuleType, ...]:
    """The modules that make up what can be asked."""
    return me, *(import_module(f"benchmarks.onedoor.schema.{each}") for each in SUBJECTS)


def bindings() -> dict[str, TypeMapping]:
    """By type, where its values come from."""
    found = [import_module(f"benchmarks.onedoor.resolvers.{each}").BINDINGS for each in SUBJECTS]
    return {binding.type: binding for each in (MAPPINGS, *found) for binding in each}


def changes() -> tuple[MutationDeclaration, ...]:
    """Nothing: the benchmark only reads."""
    return ()


def actions(desk: QueryEngine) -> dict[str, Action]:
    """Nothing."""
    return {}


def feeds() -> dict[str, SubscriptionSource]:
    """Nothing."""
    return {}


def acting(starting: JobService, clerk: AuditedExecutor) -> dict[str, Action]:
    """Nothing."""
    return {}
