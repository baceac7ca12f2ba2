"""Build the requests that test what a collection declares; one function for each law."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise, permutations, product
from typing import Any

from onedoor.spi.capabilities import Capabilities, ColumnType
from onedoor.spi.predicates import (
    ALWAYS_TRUE,
    And,
    Comparison,
    Exists,
    Not,
    Op,
    Or,
    Row,
)
from onedoor.spi.scan import COUNT_ROWS, KeyFilter, ScanRequest, SortKey

HOSTILE: Mapping[ColumnType, tuple[Any, ...]] = {
    ColumnType.TEXT: (
        "", "%", "_", "\\", "'", '"', "a%", "_b", "\\b", "' OR 1=1 --", "\0", "a\0", "a\0b", "\ud800", "a\ud800b",
        "\udfff", "i\u0307", "SS", "ss", "\U0001f600", "\uffee", "\ue000", "\n", " ", "{}", "$1", ":a", "?", "null",
        "x" * 3000,
    ),
    ColumnType.INTEGER: (0, -1, 2**31, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**30, -(10**30)),
    ColumnType.FLOAT: (0.0, -0.0, 0.1, 1e308, -1e308, 5e-324),
    ColumnType.DECIMAL: tuple(
        map(Decimal, ("0", "0.001", "-0.001", "0.005", "1.1", "1.100", "1e30", "-1e30", "9223372036854775808"))
    ),
    ColumnType.BOOLEAN: (True, False),
    ColumnType.DATE: (date.min, date.max, date(2024, 2, 29), date(1970, 1, 1)),
    ColumnType.TIME: (
        datetime.min.replace(tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2026, 1, 2, 5, 4, 5, 678901, tzinfo=timezone(timedelta(hours=2))),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ),
    ColumnType.LIST: (),
}  # fmt: skip
SOME_VALUES = 6
FEW_KEYS = 200
LIMITS = (0, 1, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionFacts:
    """A collection with its capabilities, its key, its links to others and all its rows.

    `through` are the keys of a scan that must carry some.
    """

    name: str
    can: Capabilities
    key: tuple[str, ...]
    links: tuple[Exists, ...]
    rows: Sequence[Mapping[str, Any]]
    through: KeyFilter | None = None


def values(facts: CollectionFacts, column: str) -> list[Any]:
    """Combine values that rows have with hostile ones."""
    distinct = dict.fromkeys(row[column] for row in facts.rows if row[column] is not None)
    return [*spread(list(distinct), SOME_VALUES), *HOSTILE[facts.can.columns[column].type]]


def spread(candidates: Sequence[Any], count: int) -> list[Any]:
    """Pick `count` items evenly; the same in every run."""
    return (
        [candidates[place * len(candidates) // count] for place in range(count)]
        if len(candidates) > count
        else list(candidates)
    )


def projections(facts: CollectionFacts) -> Iterator[ScanRequest]:
    """Request columns one by one, together, in another order, and none."""
    every = tuple(facts.can.columns)
    for columns in ((), every, every[::-1], every[::2], *((item,) for item in every), *permutations(every[:3])):
        yield build_request(facts, columns)


def tests(facts: CollectionFacts) -> Iterator[Comparison]:
    """Yield each declared operator on each column with ordinary and hostile values."""
    for name, column in facts.can.columns.items():
        for op in sorted(column.filters):
            yield from (Comparison(name, op, value) for value in operands(facts, name, op))


def operands(facts: CollectionFacts, name: str, op: Op) -> list[Any]:
    result = values(facts, name)
    if op is Op.IS_NULL:
        return [True, False]
    if op in (Op.IN, Op.NOT_IN):
        return [(), *((item,) for item in result[:3]), tuple(result), tuple(result[::2]), tuple(result[:2] * 3)]
    if op in (Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH, Op.I_CONTAINS, Op.I_STARTS_WITH, Op.I_ENDS_WITH):
        return [
            *result,
            *(part for item in result if 1 < len(item) < 100 for part in (item[:1], item[1:], item.swapcase())),
        ]
    return result


def filters(facts: CollectionFacts) -> Iterator[ScanRequest]:
    yield build_request(facts, facts.key)
    yield from (build_request(facts, (*facts.key, test.column), filter=test) for test in tests(facts))


def nested_filters(facts: CollectionFacts) -> Iterator[ScanRequest]:
    """Nest And, Or and Not; without boolean filters, And alone."""
    few = [test for test in tests(facts) if test.op in (Op.EQ, Op.LT, Op.IS_NULL, Op.NOT_IN)]
    one, two, three = (*spread(few, 3), ALWAYS_TRUE, ALWAYS_TRUE, ALWAYS_TRUE)[:3]
    yield from filter_requests(facts, (And(()), And((one,)), And((one, two)), And((one, And((two, three))))))
    if facts.can.boolean_filters:
        yield from filter_requests(facts, logic(spread(few, 16)))


def logic(few: Sequence[Any]) -> Iterator[Any]:
    yield from (Or(()), Not(And(())), Not(Or(())), Not(Not(Or(()))), Or((And(()), Or(()))))
    for one in few:
        yield from (Not(one), Not(Not(one)), Or((one,)))
    for one, two in product(few[::3], few[1::3]):
        yield from (
            Or((one, two)),
            Not(And((one, two))),
            Not(Or((one, Not(two)))),
            And((Not(one), Or((two, one)))),
        )
        yield Not(Or((And((one, Not(Or((two, Not(one)))))), Not(And((two, Not(Not(one))))))))


def related(facts: CollectionFacts, others: Mapping[str, CollectionFacts]) -> Iterator[ScanRequest]:
    """Ask whether a related row exists, or does not, up to two links away."""
    if not facts.can.exists_filters:
        return
    own = next(tests(facts), ALWAYS_TRUE)
    for link in facts.links:
        other = others[link.collection]
        few = spread([test for test in tests(other) if test.op in (Op.EQ, Op.NE, Op.GT, Op.IS_NULL)], 8)
        inner = [ALWAYS_TRUE, Or(()), *few, *(Not(item) for item in few), *beyond(other)]
        for candidates in (Exists(link.collection, link.outer_columns, link.inner_columns, item) for item in inner):
            yield from filter_requests(
                facts, (candidates, Not(candidates), Or((candidates, own)), Not(Or((candidates, Not(own)))))
            )


def beyond(other: CollectionFacts) -> Iterator[Any]:
    for link in other.links:
        yield link
        yield Not(link)
        yield Or((Not(Exists(link.collection, link.outer_columns, link.inner_columns, Not(And(())))), link))


def orders(facts: CollectionFacts) -> Iterator[ScanRequest]:
    """Sort by each column in both directions, nulls last and first, alone and before the key; and by pairs."""
    able = [name for name, column in facts.can.columns.items() if column.sortable]
    if not set(facts.key) <= set(able):
        return
    key = tuple(map(SortKey, facts.key))
    ways = [SortKey(name, down, first) for name in able for down in (False, True) for first in (False, True)]
    for way in ways:
        yield from (build_sorted_request(facts, (way,)), build_sorted_request(facts, (way, *key)))
    for one, two in zip(ways, ways[5:] + ways[:5], strict=True):
        yield build_sorted_request(facts, (one, two, *key))


def limits(facts: CollectionFacts) -> Iterator[ScanRequest]:
    for item in orders(facts) if facts.can.limit else ():
        if {order.column for order in item.sort} >= set(facts.key):
            yield from (build_request(facts, item.columns, sort=item.sort, limit=limit) for limit in LIMITS)


def keys(facts: CollectionFacts) -> Iterator[ScanRequest]:
    """Scan by each key: values that rows have, values they do not have, none, and as many as a scan takes."""
    for columns in key_columns(facts):
        there = dict.fromkeys(key_of(row, columns) for row in facts.rows if None not in key_of(row, columns))
        known = list(there)
        hostile = [key for key in hostile_keys(facts, columns, known) if key not in there]
        few = spread(known, 3)
        for chosen in ([], *([item] for item in few), known, hostile, known[:1] + hostile):
            yield build_keyed_request(facts, columns, distinct(chosen)[: facts.can.max_keys])
        filler = [key for key in many(facts, columns) if key not in there]
        yield build_keyed_request(facts, columns, distinct([*known, *filler])[: facts.can.max_keys])


def keys_beside_the_rest(facts: CollectionFacts) -> Iterator[ScanRequest]:
    """Scan by keys with a filter, a sort, a limit for each key."""
    nested = [nested_filter.filter for nested_filter in nested_filters(facts)] if facts.can.boolean_filters else []
    wheres, sorts = spread(nested, 3), spread(list(orders(facts)), 4)
    for base in [key for key in keys(facts) if key.keys is not None and 1 < len(key.keys.values) < 100]:
        assert base.keys is not None
        for where in wheres:
            yield build_keyed_request(facts, base.keys.columns, base.keys.values, filter=where)
        for item in sorts:
            if {order.column for order in item.sort} >= set(facts.key):
                yield build_keyed_request(facts, base.keys.columns, base.keys.values, sort=item.sort)
                for limit in LIMITS if facts.can.limit_per_key else ():
                    yield build_keyed_request(facts, base.keys.columns, base.keys.values, sort=item.sort, limit=limit)


def counts(facts: CollectionFacts) -> Iterator[ScanRequest]:
    """Count all rows and filtered ones, by each column, by two, and by keys."""
    if not facts.can.aggregates:
        return
    every = tuple(facts.can.columns)
    count = (COUNT_ROWS,)
    filter_requests = [
        ALWAYS_TRUE,
        Or(()),
        *spread([nested_filter.filter for nested_filter in nested_filters(facts)], 6),
    ]
    for columns in ((), *((item,) for item in every), every[:2]):
        yield from (build_request(facts, columns, filter=where, aggregates=count) for where in filter_requests)
    for base in keys(facts):
        assert base.keys is not None
        yield build_request(facts, base.keys.columns, keys=base.keys, aggregates=count)
        yield build_request(facts, base.keys.columns, keys=base.keys, filter=filter_requests[-1], aggregates=count)


def key_columns(facts: CollectionFacts) -> Iterable[tuple[str, ...]]:
    if not facts.can.max_keys:
        return ()
    if facts.can.key_columns:
        return sorted(facts.can.key_columns)
    able = [name for name, column in facts.can.columns.items() if column.type is not ColumnType.LIST]
    return [*((item,) for item in able), facts.key, *pairwise(able), tuple(able[:4])]


def hostile_keys(facts: CollectionFacts, columns: Sequence[str], known: Sequence[Row]) -> Iterator[Row]:
    """Replace one value of a known key."""
    if not known:
        return
    for place, name in enumerate(columns):
        for value in HOSTILE[facts.can.columns[name].type]:
            yield (*known[0][:place], value, *known[0][place + 1 :])


def many(facts: CollectionFacts, columns: Sequence[str]) -> list[Row]:
    """Return as many new keys as a scan may carry, or a few where the columns are not the key."""
    filters_by_name = {
        ColumnType.TEXT: lambda number: f"none of them {number}",
        ColumnType.INTEGER: lambda number: 1_000_000 + number,
        ColumnType.DECIMAL: lambda number: Decimal(number).scaleb(-3),
        ColumnType.DATE: lambda number: date(2030, 1, 1) + timedelta(days=number),
    }
    kinds = [facts.can.columns[name].type for name in columns]
    if len(facts.rows) > 1000 or not set(kinds) <= set(filters_by_name):
        return []
    count = facts.can.max_keys if tuple(columns) == facts.key else FEW_KEYS
    return [tuple(filters_by_name[kind](number) for kind in kinds) for number in range(count)]


def key_of(row: Mapping[str, Any], columns: Sequence[str]) -> Row:
    return tuple(row[name] for name in columns)


def distinct(rows: Iterable[Row]) -> tuple[Row, ...]:
    return tuple(dict.fromkeys(rows))


def filter_requests(facts: CollectionFacts, candidates: Iterable[Any]) -> Iterator[ScanRequest]:
    return (build_request(facts, facts.key, filter=item) for item in candidates)


def build_sorted_request(facts: CollectionFacts, order: tuple[SortKey, ...]) -> ScanRequest:
    """Sort by each column once only."""
    once = tuple({sort_key.column: sort_key for sort_key in reversed(order)}.values())[::-1]
    return build_request(facts, tuple(dict.fromkeys((*facts.key, *(item.column for item in once)))), sort=once)


def build_keyed_request(
    facts: CollectionFacts, columns: tuple[str, ...], chosen: Sequence[Row], **more: Any
) -> ScanRequest:
    given = [*columns, *facts.key, *(sort_key.column for sort_key in more.get("sort", ()))]
    return build_request(facts, tuple(dict.fromkeys(given)), keys=KeyFilter(columns, tuple(chosen)), **more)


def build_request(facts: CollectionFacts, columns: Sequence[str], **more: Any) -> ScanRequest:
    return ScanRequest(**({"collection": facts.name, "columns": tuple(columns), "keys": facts.through} | more))
