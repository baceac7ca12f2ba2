"""Complete `_entities`: an object for each representation that a federation router sends, in the same order."""

from collections.abc import Callable
from typing import Any

from onedoor.errors import ConnectorError, ErrorCode, GraphQLErrorInfo
from onedoor.model.names import build_id_parser, get_capabilities
from onedoor.query.authorize import is_denied
from onedoor.query.errors import NullOccurrences, ResponsePath, count_null, flatten_path
from onedoor.query.executor.state import BranchResult
from onedoor.query.results.context import PROPAGATED_NULL, CompletionContext, ValueCompleter
from onedoor.query.selection import (
    SelectedField,
    describe_invalid_representation,
    parse_entity_key,
    read_entity_id,
    read_typename,
    substitute_representations,
)
from onedoor.spi.predicates import Row

EntityCompleterFactory = Callable[[SelectedField, BranchResult], ValueCompleter]
"""Builds the completer for the rows of a type."""


def build_entities_completer(
    context: CompletionContext, field: SelectedField, make_completer: EntityCompleterFactory
) -> ValueCompleter:
    """Complete each representation to its object, or to null, with an error unless there just is no such row."""
    if is_denied(field, context.decisions):
        return _build_denied_list_completer(context, field)
    completers = {
        name: _build_entity_completer(context, children[0], make_completer) if children else _complete_empty_entity
        for name, children in field.children_by_type.items()
    }
    representations = substitute_representations(field.arguments["representations"], context.bound_plan.variables)

    def complete_representation(representation: Any, path: ResponsePath) -> Any:
        message = describe_invalid_representation(representation, completers)
        if message is not None:
            context.null_log.invalid.append(
                GraphQLErrorInfo(code=ErrorCode.BAD_USER_INPUT, message=message, path=flatten_path(path))
            )
            return None
        entity = completers[str(read_typename(representation))](read_entity_id(representation), path)
        return None if entity is PROPAGATED_NULL else entity

    return lambda row, path: [
        complete_representation(representation, ((path, field.response_key), index))
        for index, representation in enumerate(representations)
    ]


def _build_denied_list_completer(context: CompletionContext, field: SelectedField) -> ValueCompleter:
    """Complete to a null that propagates, as the list itself is never null."""

    def complete(row: Any, path: ResponsePath) -> Any:
        context.null_log.add_denied(field, path)
        return PROPAGATED_NULL

    return complete


def _complete_empty_entity(id: Any, path: ResponsePath) -> Any:
    """Complete an entity of a type from which nothing is selected, so that no row was read."""
    return {}


def _build_entity_completer(
    context: CompletionContext, field: SelectedField, make_completer: EntityCompleterFactory
) -> ValueCompleter:
    """Build a function from an id to its object."""
    if is_denied(field, context.decisions):
        return _build_entity_null_completer(context.null_log.denied, field)
    result = context.results[field.number]
    if isinstance(result, ConnectorError):
        return _build_entity_null_completer(context.null_log.failed, field)
    (name,) = field.children_by_type
    parse, rows_by_key = build_entity_key_reader(context, name), result.group_by_key()
    complete_row = make_completer(field, result)

    def complete_entity(id: Any, path: ResponsePath) -> Any:
        rows = rows_by_key.get(parse_entity_key(parse, id) or (), ())
        return complete_row(rows[0], path) if rows else None

    return complete_entity


def _build_entity_null_completer(nulls: dict[int, NullOccurrences], field: SelectedField) -> ValueCompleter:
    return lambda id, path: count_null(nulls, field, path)


def build_entity_key_reader(context: CompletionContext, type_name: str) -> Callable[[str], Row]:
    """Build the parser of a type's ids."""
    mapping = context.catalog.mappings[type_name]
    return build_id_parser(get_capabilities(context.catalog, mapping), mapping.key)
