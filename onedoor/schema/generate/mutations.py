"""Generate the types of changes and of history, and the mutations that start jobs."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, replace
from enum import StrEnum
from types import ModuleType
from typing import Any

import strawberry

from onedoor.jobs.codecs import JobField
from onedoor.jobs.service import JobMutation
from onedoor.schema.annotations import FieldAnnotation, Json, allow, owned, with_input
from onedoor.schema.generate.connections import add_type_article, drop_owner, list_columns
from onedoor.schema.reader import AccessDirectives, FieldKind, FieldShape, SchemaError, SchemaShape, TypeShape

NO_ACCESS_DIRECTIVES = AccessDirectives(allow=(), owned=())

CHANGE_KINDS = frozenset({FieldKind.CHANGE, FieldKind.HISTORY})


def add_change_types(shapes: SchemaShape) -> SchemaShape:
    """Add the types of changes, their roots, and the common fields of the inputs of mutations.

    Raises SchemaError if two mutations share an input.
    """
    known = {shape.name: shape for shape in shapes.types}
    changed = dict.fromkeys(
        field.type_name for shape in shapes.types for field in shape.fields if field.kind in CHANGE_KINDS
    )
    return replace(
        shapes,
        types=(
            *(_extend_query(_link_to_changes(shape), tuple(changed)) for shape in shapes.types),
            *(
                derived
                for name in changed
                for derived in (build_change_type(known[name]), build_values_type(known[name]))
            ),
        ),
        inputs=tuple(_iter_extended_inputs(shapes, known)),
    )


def build_change_type(shape: TypeShape) -> TypeShape:
    """Build the type that tells who changed a row, when and why, and the row before and after."""
    return TypeShape(
        name=f"{shape.name}Change",
        description=f"One change of {add_type_article(shape.name)}.",
        access=shape.access,
        fields=(
            _build_value_field("id", "ID", "The id of the change.", nullable=False),
            _build_value_field("at", "DateTime", "When the change was made.", nullable=False),
            _build_value_field(
                "person", "ID", "The id of the person who made it, as in audit records.", nullable=False
            ),
            _build_value_field("verb", "ChangeVerb", "What was done to the row.", nullable=False),
            _build_value_field("mutation", "String", "The mutation that made it.", nullable=False),
            _build_value_field("state", "ChangeState", "How the change ended.", nullable=False),
            _build_value_field("reason", "String", "The reason that the person gave."),
            _build_value_field("record", "ID", "The id of the request's audit record.", nullable=False),
            _build_value_field("row", "ID", "The id of the row.", nullable=False),
            _build_value_field("versionBefore", "String", "The row's version before the change, if it has one."),
            _build_value_field(
                "versionAfter",
                "String",
                "The row's version after the change; the next change may pass it as `ifVersion`.",
            ),
            _build_row_field(
                f"{shape.name[0].lower()}{shape.name[1:]}",
                shape.name,
                "The row as it is now; null if it no longer exists.",
            ),
            _build_row_field("before", f"{shape.name}Values", "The row before the change; null if it did not exist."),
            _build_row_field("after", f"{shape.name}Values", "The row after the change; null if it was deleted."),
        ),
        is_interface=False,
        implements=(),
    )


def build_values_type(shape: TypeShape) -> TypeShape:
    """Build the type of the values a row held, under the rules of its fields."""
    return TypeShape(
        name=f"{shape.name}Values",
        description=f"The values of {add_type_article(shape.name)} before or after a change.",
        access=shape.access,
        fields=tuple(replace(column, nullable=True) for column in list_columns(shape) if column.name != "id"),
        is_interface=False,
        implements=(),
    )


def _build_value_field(name: str, type_name: str, description: str, *, nullable: bool = True) -> FieldShape:
    return FieldShape(
        name=name,
        description=description,
        access=NO_ACCESS_DIRECTIVES,
        kind=FieldKind.COLUMN,
        type_name=type_name,
        nullable=nullable,
    )


def _build_row_field(name: str, type_name: str, description: str) -> FieldShape:
    return FieldShape(
        name=name,
        description=description,
        access=NO_ACCESS_DIRECTIVES,
        kind=FieldKind.ONE,
        type_name=type_name,
        nullable=True,
    )


def _link_to_changes(shape: TypeShape) -> TypeShape:
    """Turn the type's fields that lead to changes into relationships to change types."""
    kinds = {FieldKind.CHANGE: FieldKind.ONE, FieldKind.HISTORY: FieldKind.MANY}
    fields = (
        replace(field, kind=kinds[field.kind], type_name=f"{field.type_name}Change")
        if field.kind in CHANGE_KINDS
        else field
        for field in shape.fields
    )
    return replace(shape, fields=tuple(fields))


def _extend_query(shape: TypeShape, changed: tuple[str, ...]) -> TypeShape:
    """Add all changes of each type to the query root, and each change by its id."""
    return shape if shape.name != "Query" else replace(shape, fields=(*shape.fields, *_iter_change_roots(changed)))


def _iter_change_roots(changed: tuple[str, ...]) -> Iterator[FieldShape]:
    for row_type in changed:
        name = f"{row_type[0].lower()}{row_type[1:]}Change"
        yield replace(
            _build_row_field(name, f"{row_type}Change", f"The change of {add_type_article(row_type)} with this id."),
            kind=FieldKind.BY_ID,
        )
        described = f"All changes of `{row_type}` rows that were made through Onedoor."
        yield replace(_build_row_field(f"{name}s", f"{row_type}Change", described), kind=FieldKind.MANY)


def _iter_extended_inputs(shapes: SchemaShape, known: Mapping[str, TypeShape]) -> Iterator[TypeShape]:
    """Yield the inputs, those of mutations with the mutation's rules and the common fields."""
    mutations: dict[str, FieldShape] = {}
    for mutation in (field for shape in shapes.types if shape.name == "Mutation" for field in shape.fields):
        for name in (argument.type_name for argument in mutation.arguments):
            other = mutations.setdefault(name, mutation)
            if other is not mutation:
                raise SchemaError(f"`{other.name}` and `{mutation.name}` both take a `{name}`, give each its own")
    for shape in shapes.inputs:
        taker = mutations.get(shape.name)
        yield shape if taker is None else _extend_input(shape, taker, known)


def _extend_input(shape: TypeShape, mutation: FieldShape, known: Mapping[str, TypeShape]) -> TypeShape:
    row_access = (
        {field.name: field.access for field in known[mutation.type_name].fields}
        if mutation.kind is FieldKind.CHANGE
        else {}
    )
    fields = tuple(
        field
        if field.access.allow or field.name not in row_access
        else replace(field, access=drop_owner(row_access[field.name]))
        for field in shape.fields
    )
    return replace(
        shape,
        access=shape.access if shape.access.allow else mutation.access,
        fields=(*fields, *(COMMON_INPUT_FIELDS if mutation.kind is FieldKind.CHANGE else ())),
    )


COMMON_INPUT_FIELDS = (
    _build_value_field("ifVersion", "ID", "Change the row only if it is at this version."),
    _build_value_field("reason", "String", "The reason, for those who read the history; at most 500 characters."),
    _build_value_field(
        "idempotencyKey",
        "String",
        "A key of yours: repeated with it, a request returns the first result again; at most 200 characters.",
    ),
    _build_value_field("dryRun", "Boolean", "Check everything and change nothing."),
)
"""The fields that the input of every change has besides its own."""

COMMON_JOB_FIELDS = {
    "idempotency_key": "A key of yours: a repeated request with it returns the same job and starts no other.",
    "reason": "The reason, for those who see the job.",
}
"""The fields that the input of every mutation which starts a job has besides its own."""


def build_jobs_module(jobs: Iterable[JobMutation]) -> ModuleType:
    """Return a module with a mutation for each job, as if a company had written it."""
    module, fields = ModuleType(__name__), dict[str, Any]()
    for job in jobs:
        enums = {
            field.value_type: _copy_enum(field.value_type)
            for field in job.fields
            if issubclass(field.value_type, StrEnum)
        }
        input_type = _build_job_input(job, enums)
        for declared in (input_type, *enums.values()):
            setattr(module, declared.__name__, declared)
        fields[job.mutation] = strawberry.field(
            name=job.mutation,
            description=job.description,
            directives=[allow(*sorted(job.groups)), owned(job.owner)],
            metadata=with_input(input_type),
        )
    if fields:
        annotated = {"__annotations__": dict.fromkeys(fields, FieldAnnotation("One", "Job")), "__module__": __name__}
        module.Mutation = strawberry.type(type("Mutation", (), {**fields, **annotated}))  # type: ignore[attr-defined]
    return module


def _build_job_input(job: JobMutation, enums: Mapping[type, type]) -> type:
    own = {
        field.name: (_build_annotation(field, enums), field.description or f"The job's `{field.label}`.")
        for field in job.fields
    }
    common = {name: (str | None, description) for name, description in COMMON_JOB_FIELDS.items()}
    declared = {**own, **common}
    fields = {name: strawberry.field(description=description) for name, (_, description) in declared.items()}
    annotations = {name: annotation for name, (annotation, _) in declared.items()}
    annotated = {"__annotations__": annotations, "__module__": __name__}
    name = f"{job.mutation[0].upper()}{job.mutation[1:]}Input"
    return strawberry.input(type(name, (), {**fields, **annotated}), description=f"The input of `{job.name}`.")


def _build_annotation(field: JobField, enums: Mapping[type, type]) -> Any:
    """Return the annotation of an input field; a field with a default is optional."""
    annotation: Any = Json if field.value_type is Mapping else enums.get(field.value_type, field.value_type)
    annotation = list[annotation] if field.is_list else annotation
    return annotation | None if field.optional or field.default is not MISSING else annotation


def _copy_enum(enum_type: type) -> type:
    values: Any = enum_type
    copied: Any = StrEnum(enum_type.__name__, [(member.name, member.value) for member in values], module=__name__)  # type: ignore[misc]
    declared: type = strawberry.enum(copied, description=f"A value of `{enum_type.__name__}`.")
    return declared
