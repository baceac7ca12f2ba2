"""Where each value comes from: the one list of subjects, each a file of schema/ and one of the same name here."""

from importlib import import_module
from types import ModuleType

import jobs
from engine.act import Action
from engine.binding import Binding
from engine.change.bindings import with_history
from engine.change.declared import Declared
from engine.desk import Desk
from engine.feed import Feed
from exports.clerk import Clerk
from resolvers import job
from resolvers import query as query_mappings
from resolvers import request as request_mappings
from schema import change as change_types
from schema import job as job_types
from schema import jobs_declared
from schema import query as query_types
from schema import request as request_types
from work.actions import listed
from work.register import registered
from work.starting import Starting

SUBJECTS = (
    "customer", "order", "employee", "deployment", "usage", "file", "slack", "azure", "drive", "monitoring", "github",
    "directory", "upload", "deploying",
)  # fmt: skip
BUILT_IN_TYPES = (query_types, request_types, change_types, job_types)
BUILT_IN_BINDINGS = (*query_mappings.BINDINGS, *request_mappings.BINDINGS, *job.BINDINGS)


def modules() -> tuple[ModuleType, ...]:
    """The modules of schema/ that make up what can be asked."""
    written = (import_module(f"schema.{each}") for each in SUBJECTS)
    return (*BUILT_IN_TYPES, *written, jobs_declared.module(listed(registered(jobs.declared()))))


def bindings() -> dict[str, Binding]:
    """By type, where its values come from."""
    found = [import_module(f"resolvers.{each}").BINDINGS for each in SUBJECTS]
    return with_history(
        {binding.type: binding for each in (BUILT_IN_BINDINGS, *found) for binding in each},
        (each.type for each in changes()),
    )


def changes() -> tuple[Declared, ...]:
    """What can be changed, and how."""
    found = [getattr(import_module(f"resolvers.{each}"), "CHANGES", ()) for each in SUBJECTS]
    return tuple(each for declared in found for each in declared)


def actions(desk: Desk) -> dict[str, Action]:
    """What is done by a mutation that is no change."""
    found = [getattr(import_module(f"resolvers.{each}"), "actions", None) for each in SUBJECTS]
    return {field: action for acts in found if acts for field, action in acts(desk).items()}


def feeds() -> dict[str, Feed]:
    """By what can be listened to, what is listened for."""
    found = [getattr(import_module(f"resolvers.{each}"), "FEEDS", {}) for each in SUBJECTS]
    return {**job.FEEDS, **{field: feed for declared in found for field, feed in declared.items()}}


def acting(starting: Starting, clerk: Clerk) -> dict[str, Action]:
    """By mutation that changes no row, what it does."""
    return job.acting(starting, clerk)
