"""Where each value comes from: the one list of subjects, each a file of schema/ and one of the same name here."""

from importlib import import_module
from types import ModuleType

import jobs as company_jobs
from onedoor.connectors import audit_log, principal
from onedoor.connectors import jobs as connectors_jobs
from onedoor.exports.audited_query import AuditedExecutor
from onedoor.jobs.registry import register_jobs
from onedoor.jobs.service import JobService, list_job_mutations
from onedoor.model.catalog import Action, SubscriptionSource
from onedoor.model.mapping import TypeMapping
from onedoor.mutations.declarations import MutationDeclaration
from onedoor.mutations.history import add_history_mappings
from onedoor.query.context import QueryEngine
from onedoor.schema.builtin import changes, jobs, me, requests
from onedoor.schema.generate import mutations

SCHEMA_MODULES = (
    "customer", "order", "employee", "deployment", "usage", "file", "slack", "azure", "drive", "monitoring", "github",
    "directory", "upload", "deploying",
)  # fmt: skip
BUILT_IN_TYPES = (me, requests, changes, jobs)
BUILT_IN_MAPPINGS = (*principal.MAPPINGS, *audit_log.MAPPINGS, *connectors_jobs.MAPPINGS)


def load_schema_modules() -> tuple[ModuleType, ...]:
    """The modules of schema/ that make up what can be asked."""
    written = (import_module(f"schema.{each}") for each in SCHEMA_MODULES)
    return (
        *BUILT_IN_TYPES,
        *written,
        mutations.build_jobs_module(list_job_mutations(register_jobs(company_jobs.load_declared_jobs()))),
    )


def load_mappings() -> dict[str, TypeMapping]:
    """By type, where its values come from."""
    found = [import_module(f"resolvers.{each}").MAPPINGS for each in SCHEMA_MODULES]
    return add_history_mappings(
        {binding.type: binding for each in (BUILT_IN_MAPPINGS, *found) for binding in each},
        (each.type for each in load_mutations()),
    )


def load_mutations() -> tuple[MutationDeclaration, ...]:
    """What can be changed, and how."""
    found = [getattr(import_module(f"resolvers.{each}"), "MUTATIONS", ()) for each in SCHEMA_MODULES]
    return tuple(each for declared in found for each in declared)


def load_actions(engine: QueryEngine) -> dict[str, Action]:
    """What is done by a mutation that is no change."""
    found = [getattr(import_module(f"resolvers.{each}"), "build_actions", None) for each in SCHEMA_MODULES]
    return {field: action for acts in found if acts for field, action in acts(engine).items()}


def load_subscriptions() -> dict[str, SubscriptionSource]:
    """By what can be listened to, what is listened for."""
    found = [getattr(import_module(f"resolvers.{each}"), "SUBSCRIPTIONS", {}) for each in SCHEMA_MODULES]
    return {**connectors_jobs.SUBSCRIPTIONS, **{field: feed for declared in found for field, feed in declared.items()}}


def build_job_actions(service: JobService, executor: AuditedExecutor) -> dict[str, Action]:
    """By mutation that changes no row, what it does."""
    return connectors_jobs.build_actions(service, executor)
