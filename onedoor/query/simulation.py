"""Decide a document for other groups without touching a source: which fields would be answered, and which denied."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLSchema, OperationType

from auth.policy import Decision
from onedoor.model.catalog import Catalog
from onedoor.model.names import get_row_type, list_concrete_types
from onedoor.query.authorize import Decisions, authorize
from onedoor.query.document import get_operation, parse_document
from onedoor.query.selection import SelectedField, coerce_variables, collect_fields

OPERATION_TYPES = frozenset(OperationType)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDecision:
    """What is decided of one selected field; `decision` is that of the first coordinate it names that is denied.

    Of a field that leads to an interface there is one more for each concrete type, whose rows are left out if denied.
    """

    path: str
    """Its response keys from the root, joined by dots."""
    coordinate: str
    decision: Decision


def simulate(
    catalog: Catalog,
    view: GraphQLSchema,
    text: str,
    groups: frozenset[str],
    *,
    operation_name: str | None = None,
    variables: Mapping[str, Any] | None = None,
) -> Sequence[FieldDecision]:
    """Decide each field of a document for these groups; `view` is the schema that whoever asks may know.

    What lies below a denied field is not listed. Raises RequestRejected for a document that is not valid in the view.
    """
    document = parse_document(view, text, catalog.limits)
    operation = get_operation(document, operation_name, OPERATION_TYPES)
    coerced = coerce_variables(view, operation, variables or {})
    fields = collect_fields(catalog.schema, document, operation, coerced, catalog.limits)
    return list_field_decisions(catalog.schema, fields, authorize(catalog.schema, catalog.policy, fields, groups))


def list_field_decisions(
    schema: GraphQLSchema, fields: Sequence[SelectedField], decisions: Decisions
) -> Sequence[FieldDecision]:
    """List what was decided of each field, from the root down; of `__typename` nothing is decided."""
    return list(_iterate_field_decisions(schema, fields, decisions, ()))


def _iterate_field_decisions(
    schema: GraphQLSchema, fields: Sequence[SelectedField], decisions: Decisions, parent: tuple[str, ...]
) -> Iterator[FieldDecision]:
    for field in fields:
        decision = decisions.get(field.number)
        if decision is None:
            continue
        path, coordinate = (*parent, field.response_key), f"{field.parent_type}.{field.name}"
        yield FieldDecision(path=".".join(path), coordinate=coordinate, decision=decision)
        for type in list_concrete_types(schema, get_row_type(field.return_type)):
            if (field.number, type) in decisions:
                yield FieldDecision(path=".".join(path), coordinate=type, decision=decisions[field.number, type])
        for children in field.children_by_type.values():
            yield from _iterate_field_decisions(schema, children, decisions, path)
