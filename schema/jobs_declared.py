"""The jobs that are declared in, a module of schema/ out: a mutation that starts each, and the input it takes."""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING
from enum import StrEnum
from types import ModuleType
from typing import Any

import strawberry

from schema.arguments import Json, Lead, changing
from schema.directives import allow, owned
from work.actions import Listed
from work.kinds import Field

EVERY = {
    "idempotency_key": "Yours for this one job: sent again, it is answered again and not started again.",
    "reason": "Why, for those who see the job.",
}
"""What every one takes besides."""


def module(jobs: Iterable[Listed]) -> ModuleType:
    """As if it were written beside the other subjects."""
    made, fields = ModuleType(__name__), dict[str, Any]()
    for job in jobs:
        enums = {each.kind: _enum(each.kind) for each in job.fields if issubclass(each.kind, StrEnum)}
        given = _input(job, enums)
        for each in (given, *enums.values()):
            setattr(made, each.__name__, each)
        fields[job.mutation] = strawberry.field(
            name=job.mutation,
            description=job.description,
            directives=[allow(*sorted(job.groups)), owned(job.owner)],
            metadata=changing(given),
        )
    if fields:
        annotated = {"__annotations__": dict.fromkeys(fields, Lead("One", "Job")), "__module__": __name__}
        made.Mutation = strawberry.type(type("Mutation", (), {**fields, **annotated}))  # type: ignore[attr-defined]
    return made


def _input(job: Listed, enums: Mapping[type, type]) -> type:
    own = {
        each.name: (_annotation(each, enums), each.description or f"The job's `{each.label}`.") for each in job.fields
    }
    every = {name: (str | None, why) for name, why in EVERY.items()}
    told = {**own, **every}
    fields = {name: strawberry.field(description=why) for name, (_, why) in told.items()}
    annotated = {"__annotations__": {name: of for name, (of, _) in told.items()}, "__module__": __name__}
    name = f"{job.mutation[0].upper()}{job.mutation[1:]}Input"
    return strawberry.input(type(name, (), {**fields, **annotated}), description=f"What `{job.name}` is given.")


def _annotation(field: Field, enums: Mapping[type, type]) -> Any:
    """What has a default need not be given."""
    of: Any = Json if field.kind is Mapping else enums.get(field.kind, field.kind)
    of = list[of] if field.many else of
    return of | None if field.optional or field.default is not MISSING else of


def _enum(of: type) -> type:
    values: Any = of
    copied: Any = StrEnum(of.__name__, [(each.name, each.value) for each in values], module=__name__)  # type: ignore[misc]
    made: type = strawberry.enum(copied, description=f"One of the values that `{of.__name__}` has.")
    return made
