"""Wrap rows in memory in a connector that refuses requests beyond its capabilities, and records every request."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Any

from onedoor.connectors.memory import MemoryConnector
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import ALWAYS_TRUE, And, Comparison, Exists, InKeys, Not, Op, Or, Row, iterate_leaves
from onedoor.spi.scan import AggregateFunction, Join, ScanRequest


class TooMuch(AssertionError):
    """The connector was asked for what it does not promise."""


class Strict:
    """Return the rows of a memory connector."""

    def __init__(self, memory: MemoryConnector) -> None:
        self.memory = memory
        self.requests: list[ScanRequest] = []

    def capabilities(self, collection: str) -> Capabilities:
        return self.memory.capabilities(collection)

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        self.requests.append(request)
        for complaint in complaints(self, request):
            raise TooMuch(f"{complaint}: {request}")
        async for rows in self.memory.scan(request):
            yield rows

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


def complaints(connector: Connector, request: ScanRequest) -> Iterator[str]:
    """Yield what the request asks for that its collection does not promise."""
    capabilities = connector.capabilities(request.collection)
    for join in request.joins:
        inner = connector.capabilities(join.collection)
        yield from list_join_complaints(capabilities, inner, join)
        capabilities = replace(capabilities, columns={**capabilities.columns, **joined_columns(inner, join)})
    key_columns, keys = (request.keys.columns, request.keys.values) if request.keys else ((), ())
    if len(keys) > capabilities.max_keys:
        yield "more keys than it takes at once"
    if request.keys and capabilities.key_columns and key_columns not in capabilities.key_columns:
        yield "keys of columns it is not read by"
    if request.keys and (not keys or len(set(keys)) < len(keys)):
        yield "no keys, or the same twice"
    if any(None in key for key in keys):
        yield "a null among keys"
    if set(capabilities.required_columns) - {*key_columns, *list_equal_columns(request.filter)}:
        yield "no keys it cannot be read without"
    if not takes_filter(connector, capabilities, request.filter):
        yield "a filter it does not take"
    if not set(request.columns) <= set(capabilities.columns):
        yield "columns it does not have"
    yield from (list_group_complaints if request.aggregates else list_row_complaints)(capabilities, request)


def list_join_complaints(outer: Capabilities, inner: Capabilities, join: Join) -> Iterator[str]:
    if not (outer.joins and inner.joins):
        yield "a join it does not make"
    if set(inner.required_columns) - set(join.inner_columns):
        yield "a join to what it cannot read without keys"
    columns = [
        *(outer.columns[name] for name in join.outer_columns),
        *(inner.columns[name] for name in join.inner_columns),
    ]
    if not all(Op.EQ in column.filters for column in columns):
        yield "a join by columns it does not compare"
    if bool(join.columns) == bool(join.aggregates) or len(join.output_columns) != len(join.columns + join.aggregates):
        yield "a join that adds rows and aggregates, or nothing"
    if join.aggregates and not inner.aggregates:
        yield "aggregates it does not compute of joined rows"
    if not all(call.function in inner.columns[call.column].aggregates for call in join.aggregates if call.column):
        yield "an aggregate it does not compute of a joined column"


def joined_columns(inner: Capabilities, join: Join) -> dict[str, Column]:
    """Counts and sums can be sorted and compared; anything else as its column can."""
    columns = [inner.columns[name] for name in join.columns]
    for call in join.aggregates:
        is_extreme = call.function in (AggregateFunction.MIN, AggregateFunction.MAX)
        columns.append(
            inner.columns[call.column or ""] if is_extreme else Column(ColumnType.INTEGER, frozenset(Op), True)
        )
    return dict(zip(join.output_columns, columns, strict=True))


def list_row_complaints(capabilities: Capabilities, request: ScanRequest) -> Iterator[str]:
    if not all(capabilities.columns[sort_key.column].sortable for sort_key in request.sort):
        yield "an order it does not take"
    if request.limit is not None and not (capabilities.limit_per_key if request.keys else capabilities.limit):
        yield "a limit it does not take"
    if request.time_buckets or request.having != ALWAYS_TRUE:
        yield "steps of groups, without aggregates"


def list_group_complaints(capabilities: Capabilities, request: ScanRequest) -> Iterator[str]:
    columns = capabilities.columns
    if not capabilities.aggregates:
        yield "aggregates it does not compute"
    if not all(call.function in columns[call.column].aggregates for call in request.aggregates if call.column):
        yield "an aggregate it does not compute of that column"
    if not all(Op.EQ in columns[column].filters for column in request.columns):
        yield "groups by a column it does not compare"
    if not all(
        bucket.unit in capabilities.time_buckets and bucket.column in request.columns for bucket in request.time_buckets
    ):
        yield "a time bucket it does not take"
    is_arranged = request.having != ALWAYS_TRUE or request.sort or request.limit is not None
    if is_arranged and (request.keys or not capabilities.group_ordering_and_limit):
        yield "an order or a limit of groups"
    known = {*request.columns, *(call.name for call in request.aggregates)}
    compared = {leaf.column for leaf in iterate_leaves(request.having)}
    if not {*compared, *(sort_key.column for sort_key in request.sort)} <= known:
        yield "an order by what its groups do not have"


def takes_filter(connector: Connector, capabilities: Capabilities, predicate: Any) -> bool:
    """Whether a filter is promised; conjuncts always are, other connectives with `boolean_filters`."""
    if isinstance(predicate, And):
        return all(takes_condition(connector, capabilities, part) for part in predicate.parts)
    return takes_condition(connector, capabilities, predicate)


def takes_condition(connector: Connector, capabilities: Capabilities, predicate: Any) -> bool:
    match predicate:
        case Comparison():
            column = capabilities.columns[predicate.column]
            is_list_equality = column.type is ColumnType.LIST and predicate.op is Op.EQ
            return predicate.op in column.filters and (has_valid_operand(predicate) or is_list_equality)
        case And() | Or():
            return capabilities.boolean_filters and all(
                takes_condition(connector, capabilities, part) for part in predicate.parts
            )
        case Not():
            return capabilities.boolean_filters and takes_condition(connector, capabilities, predicate.part)
        case InKeys():
            has_null = any(None in key for key in predicate.keys)
            return len(predicate.keys) <= capabilities.max_in_filter_keys and not has_null
        case Exists():
            inner = connector.capabilities(predicate.collection)
            return capabilities.exists_filters and (
                predicate.filter == ALWAYS_TRUE or takes_filter(connector, inner, predicate.filter)
            )
        case _:
            return False


def has_valid_operand(comparison: Comparison) -> bool:
    """Whether the operand is a tuple without nulls, a boolean, or one value, as the operator demands."""
    match comparison.op:
        case Op.IN | Op.NOT_IN:
            return isinstance(comparison.value, tuple) and None not in comparison.value
        case Op.IS_NULL:
            return isinstance(comparison.value, bool)
        case _:
            return comparison.value is not None and not isinstance(comparison.value, tuple | list)


def list_equal_columns(predicate: Any) -> Iterator[str]:
    """Yield the columns that a filter lets have one value only."""
    match predicate:
        case Comparison(column, Op.EQ):
            yield column
        case And():
            for part in predicate.parts:
                yield from list_equal_columns(part)
