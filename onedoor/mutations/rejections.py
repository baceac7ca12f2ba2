"""Word the rejection of a change for the client, who knows the input's fields rather than the source's columns."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from graphql import get_named_type

from onedoor.model.names import ID_FIELD, map_field_to_columns, to_snake_case
from onedoor.mutations.context import NumberedStep, find_mapping
from onedoor.mutations.execution import IntentExecution
from onedoor.spi.connector import ChangeRejected, RowChange

QUOTED_NAME_PATTERN = re.compile(r"`(\w+)`")


def name_input_fields(
    execution: IntentExecution, group: Sequence[NumberedStep], changes: Sequence[RowChange], rejection: ChangeRejected
) -> ChangeRejected:
    """Return the rejection with the name of the input field in place of each column that was set from it."""
    fields = _map_columns_to_fields(execution, group, changes)
    reason = QUOTED_NAME_PATTERN.sub(lambda match: f"`{fields.get(match[1], match[1])}`", rejection.reason)
    return ChangeRejected(reason, rejection.code)


def name_source(execution: IntentExecution, group: Sequence[NumberedStep], reason: str) -> str:
    """Begin the reason with the source of the steps, where the saga changes more than one."""
    sources = {step.source for step in execution.saga.steps}
    return f"`{group[0].step.source}`: {reason}" if len(sources) > 1 else reason


def _map_columns_to_fields(
    execution: IntentExecution, group: Sequence[NumberedStep], changes: Sequence[RowChange]
) -> Mapping[str, str]:
    """Map columns to input fields: by the mapping of the row's type, else by the one field whose value was sent."""
    names = [name for name in _list_input_fields(execution) if name != ID_FIELD]
    fields: dict[str, str] = {}
    for (_, step), change in zip(group, changes, strict=True):
        mapping = find_mapping(execution.context, execution.saga.type, step.source, step.collection)
        for name in names:
            columns = (to_snake_case(name),) if mapping is None else map_field_to_columns(mapping, name)
            fields.setdefault(columns[0], name)
        for column, value in (*change.key.items(), *change.values.items()):
            senders = [name for name in names if execution.input.fields.get(name) == value]
            if len(senders) == 1 and isinstance(value, str) and column not in names:
                fields.setdefault(column, senders[0])
    collections = {change.collection for change in changes}
    return {column: field for column, field in fields.items() if column not in collections}


def _list_input_fields(execution: IntentExecution) -> Sequence[str]:
    mutation_type = execution.context.catalog.schema.mutation_type
    declared = mutation_type.fields.get(execution.saga.field) if mutation_type else None
    if declared is None or "input" not in declared.args:
        return list(execution.input.fields)
    input_type: Any = get_named_type(declared.args["input"].type)
    return list(input_type.fields)
