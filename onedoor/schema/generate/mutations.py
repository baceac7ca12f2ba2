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
from onedoor.schema.generate.connections import list_columns
from onedoor.schema.reader import AccessDirectives, FieldKind, FieldShape, SchemaError, SchemaShape, TypeShape

NO_ACCESS_DIRECTIVES = AccessDirectives(allow=(), owned=())

CHANGE_KINDS = frozenset({FieldKind.CHANGE, FieldKind.HISTORY})


def add_change_types(shapes: SchemaShape) -> SchemaShape:
    """Raises BadSchema where two mutations would share an input, or one takes none."""
    known = {shape.name: shape for shape in shapes.types}
    changed = dict.fromkeys(
        each.type_name for shape in shapes.types for each in shape.fields if each.kind in CHANGE_KINDS
    )
    return replace(
        shapes,
        types=(
            *(_extend_query(_link_to_changes(shape), tuple(changed)) for shape in shapes.types),
            *(each for name in changed for each in (build_change_type(known[name]), build_values_type(known[name]))),
        ),
        inputs=tuple(_iter_extended_inputs(shapes, known)),
    )


def build_change_type(shape: TypeShape) -> TypeShape:
    """Who changed a row, when and why, and the row before and after."""
    return TypeShape(
        name=f"{shape.name}Change",
        description=f"One change of a `{shape.name}`.",
        access=shape.access,
        fields=(
            _build_value_field("id", "ID", "The change's own.", nullable=False),
            _build_value_field("at", "DateTime", "When it was made.", nullable=False),
            _build_value_field("person", "ID", "The id of who made it, as the audit records name it.", nullable=False),
            _build_value_field("verb", "ChangeVerb", "What was done to the row.", nullable=False),
            _build_value_field("mutation", "String", "What was asked for.", nullable=False),
            _build_value_field("state", "ChangeState", "What became of it.", nullable=False),
            _build_value_field("reason", "String", "Why, as who made it said."),
            _build_value_field("record", "ID", "The audit record of the request.", nullable=False),
            _build_value_field("row", "ID", "The id of the row.", nullable=False),
            _build_value_field("versionBefore", "String", "The row's version before, where it has any."),
            _build_value_field("versionAfter", "String", "And after: what the next change may give as `ifVersion`."),
            _build_row_field(
                f"{shape.name[0].lower()}{shape.name[1:]}",
                shape.name,
                "The row as it is now; null where it is no more.",
            ),
            _build_row_field("before", f"{shape.name}Values", "The row before; null where it was not there."),
            _build_row_field("after", f"{shape.name}Values", "The row after; null where it was deleted."),
        ),
        is_interface=False,
        implements=(),
    )


def build_values_type(shape: TypeShape) -> TypeShape:
    """What a row held, under the rules of its fields."""
    return TypeShape(
        name=f"{shape.name}Values",
        description=f"What a `{shape.name}` held before or after a change.",
        access=shape.access,
        fields=tuple(replace(each, nullable=True) for each in list_columns(shape) if each.name != "id"),
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
    """Its fields that lead to changes as links to these."""
    leads = {FieldKind.CHANGE: FieldKind.ONE, FieldKind.HISTORY: FieldKind.MANY}
    fields = (
        replace(each, kind=leads[each.kind], type_name=f"{each.type_name}Change") if each.kind in CHANGE_KINDS else each
        for each in shape.fields
    )
    return replace(shape, fields=tuple(fields))


def _extend_query(shape: TypeShape, changed: tuple[str, ...]) -> TypeShape:
    """The root, with all changes of each type, and each by its id."""
    return shape if shape.name != "Query" else replace(shape, fields=(*shape.fields, *_iter_change_roots(changed)))


def _iter_change_roots(changed: tuple[str, ...]) -> Iterator[FieldShape]:
    for of in changed:
        name = f"{of[0].lower()}{of[1:]}Change"
        yield replace(
            _build_row_field(name, f"{of}Change", f"The change of a `{of}` with this id."), kind=FieldKind.BY_ID
        )
        described = f"All changes of every `{of}` that were made here."
        yield replace(_build_row_field(f"{name}s", f"{of}Change", described), kind=FieldKind.MANY)


def _iter_extended_inputs(shapes: SchemaShape, known: Mapping[str, TypeShape]) -> Iterator[TypeShape]:
    """Those that mutations take, with their rules, and with what every change takes."""
    taken: dict[str, FieldShape] = {}
    for each in (each for shape in shapes.types if shape.name == "Mutation" for each in shape.fields):
        for name in (argument.type_name for argument in each.arguments):
            if taken.setdefault(name, each) is not each:
                raise SchemaError(f"`{taken[name].name}` and `{each.name}` both take a `{name}`, give each its own")
    for shape in shapes.inputs:
        by = taken.get(shape.name)
        yield shape if by is None else _extend_input(shape, by, known)


def _extend_input(shape: TypeShape, mutation: FieldShape, known: Mapping[str, TypeShape]) -> TypeShape:
    shown = (
        {each.name: each.access for each in known[mutation.type_name].fields}
        if mutation.kind is FieldKind.CHANGE
        else {}
    )
    fields = tuple(
        each if each.access.allow or each.name not in shown else replace(each, access=_drop_owner(shown[each.name]))
        for each in shape.fields
    )
    return replace(
        shape,
        access=shape.access if shape.access.allow else mutation.access,
        fields=(*fields, *(COMMON_INPUT_FIELDS if mutation.kind is FieldKind.CHANGE else ())),
    )


def _drop_owner(access: AccessDirectives) -> AccessDirectives:
    return AccessDirectives(allow=access.allow, owned=())


COMMON_INPUT_FIELDS = (
    _build_value_field("ifVersion", "ID", "Only where the row is at this version; else nothing is changed."),
    _build_value_field("reason", "String", "Why, for those who read the history: at most 500 characters."),
    _build_value_field(
        "idempotencyKey",
        "String",
        "Yours for this one change: sent again, it is answered again and not made again; at most 200 characters.",
    ),
    _build_value_field("dryRun", "Boolean", "Only try it: all is judged and tried, nothing is changed."),
)
"""What every input of a change has besides."""

COMMON_JOB_FIELDS = {
    "idempotency_key": "Yours for this one job: sent again, it is answered again and not started again.",
    "reason": "Why, for those who see the job.",
}
"""What the input of every mutation that starts a job has besides."""


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
    return strawberry.input(type(name, (), {**fields, **annotated}), description=f"What `{job.name}` is given.")


def _build_annotation(field: JobField, enums: Mapping[type, type]) -> Any:
    """Return the annotation of an input field; what has a default need not be given."""
    annotation: Any = Json if field.value_type is Mapping else enums.get(field.value_type, field.value_type)
    annotation = list[annotation] if field.is_list else annotation
    return annotation | None if field.optional or field.default is not MISSING else annotation


def _copy_enum(enum_type: type) -> type:
    values: Any = enum_type
    copied: Any = StrEnum(enum_type.__name__, [(member.name, member.value) for member in values], module=__name__)  # type: ignore[misc]
    declared: type = strawberry.enum(copied, description=f"One of the values that `{enum_type.__name__}` has.")
    return declared
