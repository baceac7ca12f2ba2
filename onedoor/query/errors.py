"""Collect what goes wrong in a result: one error for each field, however many rows it concerns."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from auth.groups import Groups
from auth.policy import Decision, GroupRequirement, SchemaCoordinate, minimize_requirements
from onedoor.errors import ConnectorError, ErrorCode, GraphQLErrorInfo, SourceChanged
from onedoor.model.catalog import Catalog
from onedoor.query.planner.planner import list_field_columns
from onedoor.query.selection import SelectedField
from onedoor.runtime.call_context import WithheldCopy

ResponsePath: TypeAlias = tuple[Any, str | int] | None
"""A place in the result, as (the place above, the step); None is the top."""

REQUEST_MUTATION = "requestAccess"
"""The mutation of the product that asks for access, where a schema has it."""


@dataclass(slots=True)
class NullOccurrences:
    """Where a field was first null, and how often."""

    path: ResponsePath
    count: int = 0


@dataclass(slots=True)
class FieldErrors:
    """The nulls of one result, by their cause."""

    denied: dict[int, NullOccurrences] = field(default_factory=dict)
    failed: dict[int, NullOccurrences] = field(default_factory=dict)
    invalid: list[GraphQLErrorInfo] = field(default_factory=list)
    invalid_max: int = 100
    """How many values that a field cannot show have an error of their own."""
    unlisted_count: int = 0
    """How many more of them there are; one error counts them."""
    denied_types: dict[tuple[int, str], ResponsePath] = field(default_factory=dict)
    """By field that leads to an interface, and concrete type: the first place that lacks denied rows."""
    failed_types: dict[tuple[int, str], ResponsePath] = field(default_factory=dict)
    """The first place that lacks rows whose source failed."""

    @property
    def has_errors(self) -> bool:
        """Whether anything went wrong."""
        return bool(self.denied or self.failed or self.invalid or self.denied_types or self.failed_types)

    def add_denied(self, selected_field: SelectedField, path: ResponsePath) -> None:
        """Count a null of a denied field."""
        count_null(self.denied, selected_field, (path, selected_field.response_key))

    def add_failed(self, selected_field: SelectedField, path: ResponsePath) -> None:
        """Count a null of a field whose source failed."""
        count_null(self.failed, selected_field, (path, selected_field.response_key))

    def add_denied_type(self, selected_field: SelectedField, type_name: str, path: ResponsePath) -> None:
        """Record that rows of a denied type are left out."""
        self.denied_types.setdefault((selected_field.number, type_name), path)

    def add_failed_type(self, selected_field: SelectedField, type_name: str, path: ResponsePath) -> None:
        """Record that rows of a type are missing, as their source failed."""
        self.failed_types.setdefault((selected_field.number, type_name), path)

    def add_invalid(self, selected_field: SelectedField, path: ResponsePath, code: ErrorCode, message: str) -> None:
        """Record a value that the field cannot show; past `invalid_max`, count it."""
        if len(self.invalid) >= self.invalid_max:
            self.unlisted_count += 1
            return
        self.invalid.append(
            GraphQLErrorInfo(code=code, message=message, path=flatten_path((path, selected_field.response_key)))
        )

    def list_invalid(self) -> list[GraphQLErrorInfo]:
        """Return the errors of values that their fields cannot show, the last for all that have none of their own."""
        if not self.unlisted_count:
            return self.invalid
        message = f"{self.unlisted_count} more values cannot be shown by their fields"
        rest = GraphQLErrorInfo(
            code=ErrorCode.SOURCE_INVALID, message=message, extensions={"nulls": self.unlisted_count}
        )
        return [*self.invalid, rest]


def count_null(nulls: dict[int, NullOccurrences], selected_field: SelectedField, path: ResponsePath) -> None:
    """Count a null of a field, and keep the first place."""
    nulls.setdefault(selected_field.number, NullOccurrences(path)).count += 1


def flatten_path(path: ResponsePath) -> tuple[str | int, ...]:
    """Return a place as GraphQL writes it, outermost first."""
    steps: list[str | int] = []
    while path is not None:
        path, step = path
        steps.append(step)
    return tuple(reversed(steps))


def build_forbidden_error(
    catalog: Catalog, selected_field: SelectedField, decision: Decision, nulls: NullOccurrences | None
) -> GraphQLErrorInfo:
    """Say what is denied, which groups it is open to, and whom to ask for access."""
    return _describe_denial(catalog, (selected_field.parent_type, selected_field.name), decision, nulls)


def may_reveal_type(catalog: Catalog, type_name: str, decision: Decision) -> bool:
    """Whether to name a concrete type: in a schema of their own, principals do not know of types denied to them."""
    return catalog.schema_for_groups is None or decision.coordinate != (type_name,)


def build_forbidden_rows_error(
    catalog: Catalog, type_name: str, decision: Decision, path: ResponsePath
) -> GraphQLErrorInfo:
    """Say of which concrete type rows are left out of a list, or were not searched for a single row."""
    denial = _describe_denial(catalog, (type_name,), decision, None)
    return replace(
        denial,
        path=flatten_path(path) if path else None,
        message=f"rows of `{type_name}` are left out: {denial.message}",
    )


def build_withheld_error(catalog: Catalog, copy: WithheldCopy) -> GraphQLErrorInfo:
    """Say which copied values are not shown, and what they were made of, unless that must not be named."""
    coordinate = ".".join(copy.coordinate)
    first = next((denial for denial in copy.denials if denial.unmet is not None), None)
    if catalog.schema_for_groups is not None or first is None:
        message = f"`{coordinate}` is not shown, as it was made of what you may not read; ask whoever made it"
        return GraphQLErrorInfo(code=ErrorCode.FORBIDDEN, message=message, extensions={"position": coordinate})
    denial = _describe_denial(catalog, first.coordinate, first, None)
    others = f", and {len(copy.denials) - 1:,} more" if len(copy.denials) > 1 else ""
    return replace(
        denial,
        message=f"`{coordinate}` is not shown, as it was made of what you may not read: {denial.message}{others}",
        extensions={**(denial.extensions or {}), "position": coordinate},
    )


def _describe_denial(
    catalog: Catalog, near: SchemaCoordinate, decision: Decision, nulls: NullOccurrences | None
) -> GraphQLErrorInfo:
    coordinate = ".".join(decision.coordinate)
    needed = minimize_requirements(decision.unmet or ())
    groups = ", and for ".join(map(join_alternatives, needed)) or "no group"
    owner = catalog.policy.owners.get(decision.coordinate) or catalog.policy.owners.get(near)
    contact = catalog.groups.contacts.get(owner or "")
    group_owners = list_group_owners(catalog.groups, [name for requirement in needed for name in requirement])
    request_mutation = find_request_mutation(catalog) if needed else None
    remedy = describe_remedy(catalog, decision.unmet or (), owner)
    return GraphQLErrorInfo(
        code=ErrorCode.FORBIDDEN,
        message=f"`{coordinate}` is for {groups}{remedy and f'; {remedy}'}",
        path=flatten_path(nulls.path) if nulls else None,
        extensions={
            "position": coordinate,
            "groups": [sorted(requirement) for requirement in decision.unmet or ()],
            **({"owner": owner} if owner else {}),
            **({"contact": contact} if contact else {}),
            **({"groupOwners": group_owners} if group_owners else {}),
            **({"requestWith": request_mutation} if request_mutation else {}),
            **({"nulls": nulls.count} if nulls else {}),
        },
    )


def list_group_owners(groups: Groups, names: Iterable[str]) -> list[dict[str, str]]:
    """Return of each of these groups whose owner can be reached the owner and the contact, once."""
    reachable = (groups[name] for name in dict.fromkeys(names) if name in groups.names)
    return [
        {"group": group.name, "owner": group.owner, "contact": contact}
        for group in reachable
        if (contact := groups.contacts.get(group.owner)) is not None
    ]


def find_request_mutation(catalog: Catalog) -> str | None:
    """Return the mutation that asks for access; None: this schema has none."""
    mutation_type = catalog.schema.mutation_type
    return REQUEST_MUTATION if mutation_type is not None and REQUEST_MUTATION in mutation_type.fields else None


def join_alternatives(names: Sequence[str]) -> str:
    """Join names as a choice: `engineering, finance or sales`."""
    return " or ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def describe_remedy(catalog: Catalog, unmet: Collection[GroupRequirement], field_owner: str | None) -> str:
    """Say how to get access: whoever owns the groups gives it; where nobody says how to reach them, ask the field's."""
    names = [name for requirement in minimize_requirements(unmet) for name in requirement]
    owners = list_group_owners(catalog.groups, names)
    people = join_alternatives(list(dict.fromkeys(f"{item['owner']} ({item['contact']})" for item in owners)))
    people, request_mutation = people or field_owner or "", find_request_mutation(catalog) if names else None
    parts = (
        f"send `{request_mutation}`" if request_mutation else "",
        f"ask {people} for it" if people else "",
    )
    return ", or ".join(filter(None, parts))


def build_unavailable_error(
    catalog: Catalog, allowed_fields: Iterable[SelectedField], failure: ConnectorError, nulls: NullOccurrences
) -> GraphQLErrorInfo:
    """Say why a field is null whose source failed."""
    return GraphQLErrorInfo(
        code=failure.code,
        message=_describe_failure(catalog, allowed_fields, failure),
        path=flatten_path(nulls.path),
        extensions={"nulls": nulls.count},
    )


def _describe_failure(catalog: Catalog, allowed_fields: Iterable[SelectedField], failure: ConnectorError) -> str:
    """Name the selected fields that need what the source has lost, or their types where it is needed for no value."""
    if not isinstance(failure, SourceChanged):
        return failure.reason
    place, fields, types = (failure.source, failure.collection), dict[str, None](), dict[str, None]()
    for selected in allowed_fields:
        mapping = catalog.mappings.get(selected.parent_type)
        if mapping is not None and (mapping.source, mapping.collection) == place:
            types[mapping.type] = None
            if not set(failure.columns).isdisjoint(list_field_columns(mapping, selected)):
                fields[f"{mapping.type}.{selected.name}"] = None
    return failure.describe(list(fields or types))


def build_missing_rows_error(
    catalog: Catalog,
    allowed_fields: Iterable[SelectedField],
    failure: ConnectorError,
    type_name: str,
    path: ResponsePath,
) -> GraphQLErrorInfo:
    """Say why rows of a concrete type are missing from a list."""
    message = f"rows of `{type_name}` are missing: {_describe_failure(catalog, allowed_fields, failure)}"
    return GraphQLErrorInfo(
        code=failure.code, message=message, path=flatten_path(path), extensions={"missing": type_name}
    )
