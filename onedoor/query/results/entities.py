"""The representations a router asked for in, their objects out, in the same order."""

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
"""Makes the function that renders one row of a type."""


def build_entities_completer(
    context: CompletionContext, field: SelectedField, make_completer: EntityCompleterFactory
) -> ValueCompleter:
    """Null where no row has the id; null and a fault where nothing can be known of it, as the list is never null."""
    if is_denied(field, context.decisions):
        return _build_denied_list_completer(context, field)
    shows = {
        name: _build_entity_completer(context, below[0], make_completer) if below else _complete_empty_entity
        for name, below in field.children_by_type.items()
    }
    wanted = substitute_representations(field.arguments["representations"], context.bound_plan.variables)

    def one(representation: Any, place: ResponsePath) -> Any:
        wrong = describe_invalid_representation(representation, shows)
        if wrong is not None:
            context.null_log.invalid.append(
                GraphQLErrorInfo(code=ErrorCode.BAD_USER_INPUT, message=wrong, path=flatten_path(place))
            )
            return None
        found = shows[str(read_typename(representation))](read_entity_id(representation), place)
        return None if found is PROPAGATED_NULL else found

    return lambda row, path: [one(each, ((path, field.response_key), at)) for at, each in enumerate(wanted)]


def _build_denied_list_completer(context: CompletionContext, field: SelectedField) -> ValueCompleter:
    """The list is withheld, which is never null."""

    def value(row: Any, path: ResponsePath) -> Any:
        context.null_log.add_denied(field, path)
        return PROPAGATED_NULL

    return value


def _complete_empty_entity(id: Any, place: ResponsePath) -> Any:
    """Nothing is wanted of rows of this type, so none was read."""
    return {}


def _build_entity_completer(
    context: CompletionContext, field: SelectedField, makes: EntityCompleterFactory
) -> ValueCompleter:
    """From an id to the object."""
    if is_denied(field, context.decisions):
        return _build_entity_null_completer(context.null_log.denied, field)
    result = context.results[field.number]
    if isinstance(result, ConnectorError):
        return _build_entity_null_completer(context.null_log.failed, field)
    (name,) = field.children_by_type
    read, rows, value = build_entity_key_reader(context, name), result.group_by_key(), makes(field, result)

    def shown(id: Any, place: ResponsePath) -> Any:
        found = rows.get(parse_entity_key(read, id) or (), ())
        return value(found[0], place) if found else None

    return shown


def _build_entity_null_completer(nulls: dict[int, NullOccurrences], field: SelectedField) -> ValueCompleter:
    return lambda id, place: count_null(nulls, field, place)


def build_entity_key_reader(context: CompletionContext, type_name: str) -> Callable[[str], Row]:
    """Reads ids of a type."""
    binding = context.catalog.mappings[type_name]
    return build_id_parser(get_capabilities(context.catalog, binding), binding.key)
