"""What went wrong inside an answer: one fault per pick, however many rows it concerns."""

from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from auth.policy import AccessPolicy, Decision, SchemaCoordinate
from onedoor.errors import ConnectorError, ErrorCode, GraphQLErrorInfo
from onedoor.model.catalog import Catalog
from onedoor.query.selection import SelectedField

ResponsePath: TypeAlias = tuple[Any, str | int] | None
"""A place in the reply, as (the place above, the step), innermost last; None is the top."""


@dataclass(slots=True)
class NullOccurrences:
    """Where a pick first showed null, and how often."""

    path: ResponsePath
    count: int = 0


@dataclass(slots=True)
class FieldErrors:
    """The nulls of one answer, by what caused them; noted while it is rendered."""

    denied: dict[int, NullOccurrences] = field(default_factory=dict)
    failed: dict[int, NullOccurrences] = field(default_factory=dict)
    invalid: list[GraphQLErrorInfo] = field(default_factory=list)
    denied_types: dict[tuple[int, str], ResponsePath] = field(default_factory=dict)
    """By pick that leads to an interface and concrete type, the first place that lacks rows which may not be shown."""
    failed_types: dict[tuple[int, str], ResponsePath] = field(default_factory=dict)
    """And the first that lacks rows whose source failed."""

    @property
    def has_errors(self) -> bool:
        return bool(self.denied or self.failed or self.invalid or self.denied_types or self.failed_types)

    def add_denied(self, selected_field: SelectedField, path: ResponsePath) -> None:
        count_null(self.denied, selected_field, (path, selected_field.response_key))

    def add_failed(self, selected_field: SelectedField, path: ResponsePath) -> None:
        count_null(self.failed, selected_field, (path, selected_field.response_key))

    def add_denied_type(self, selected_field: SelectedField, type_name: str, path: ResponsePath) -> None:
        self.denied_types.setdefault((selected_field.number, type_name), path)

    def add_failed_type(self, selected_field: SelectedField, type_name: str, path: ResponsePath) -> None:
        self.failed_types.setdefault((selected_field.number, type_name), path)

    def add_invalid(self, selected_field: SelectedField, path: ResponsePath, code: ErrorCode, message: str) -> None:
        self.invalid.append(
            GraphQLErrorInfo(code=code, message=message, path=flatten_path((path, selected_field.response_key)))
        )


def count_null(nulls: dict[int, NullOccurrences], selected_field: SelectedField, path: ResponsePath) -> None:
    nulls.setdefault(selected_field.number, NullOccurrences(path)).count += 1


def flatten_path(path: ResponsePath) -> tuple[str | int, ...]:
    """The place as GraphQL writes it, outermost first."""
    found: list[str | int] = []
    while path is not None:
        path, step = path
        found.append(step)
    return tuple(reversed(found))


def build_forbidden_error(
    policy: AccessPolicy, selected_field: SelectedField, decision: Decision, nulls: NullOccurrences | None
) -> GraphQLErrorInfo:
    """Says what was withheld, which groups would do, who answers for it, and how to ask."""
    return _describe_denial(policy, (selected_field.parent_type, selected_field.name), decision, nulls)


def may_reveal_type(catalog: Catalog, type_name: str, decision: Decision) -> bool:
    """Whether to name a concrete type: who sees only what is their own does not know of one they may not see."""
    return catalog.schema_for_groups is None or decision.coordinate != (type_name,)


def build_forbidden_rows_error(
    policy: AccessPolicy, type_name: str, decision: Decision, path: ResponsePath
) -> GraphQLErrorInfo:
    """Says which concrete type's rows a list lacks, or a single row was not looked for among."""
    made = _describe_denial(policy, (type_name,), decision, None)
    return replace(
        made, path=flatten_path(path) if path else None, message=f"rows of `{type_name}` are left out: {made.message}"
    )


def _describe_denial(
    policy: AccessPolicy, near: SchemaCoordinate, decision: Decision, nulls: NullOccurrences | None
) -> GraphQLErrorInfo:
    named = ".".join(decision.coordinate)
    unmet = [sorted(each) for each in decision.unmet or ()]
    would_do = ", and for ".join(" or ".join(each) for each in unmet) or "no group"
    owner = policy.owners.get(decision.coordinate) or policy.owners.get(near)
    asking = f"; ask {owner} for it" if owner else ""
    return GraphQLErrorInfo(
        code=ErrorCode.FORBIDDEN,
        message=f"`{named}` is for {would_do}{asking}",
        path=flatten_path(nulls.path) if nulls else None,
        extensions={
            "position": named,
            "groups": unmet,
            **({"owner": owner} if owner else {}),
            **({"nulls": nulls.count} if nulls else {}),
        },
    )


def build_unavailable_error(failure: ConnectorError, nulls: NullOccurrences) -> GraphQLErrorInfo:
    return GraphQLErrorInfo(
        code=failure.code, message=failure.reason, path=flatten_path(nulls.path), extensions={"nulls": nulls.count}
    )


def build_missing_rows_error(failure: ConnectorError, type_name: str, path: ResponsePath) -> GraphQLErrorInfo:
    message = f"rows of `{type_name}` are missing: {failure.reason}"
    return GraphQLErrorInfo(
        code=failure.code, message=message, path=flatten_path(path), extensions={"missing": type_name}
    )
