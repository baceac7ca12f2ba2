"""What a source declares of a collection in, all asks worth asking of it out; one function for each law."""

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
class Told:
    """One collection: what is promised of it, what identifies its rows, where it leads to, and all its rows.

    `through` are keys for a read that must carry some.
    """

    name: str
    can: Capabilities
    key: tuple[str, ...]
    leads: tuple[Exists, ...]
    rows: Sequence[Mapping[str, Any]]
    through: KeyFilter | None = None


def values(told: Told, column: str) -> list[Any]:
    """Some values that rows have, and what no row is likely to have."""
    distinct = dict.fromkeys(row[column] for row in told.rows if row[column] is not None)
    return [*spread(list(distinct), SOME_VALUES), *HOSTILE[told.can.columns[column].type]]


def spread(found: Sequence[Any], count: int) -> list[Any]:
    """So many of them, from all over; the same at every run."""
    return [found[place * len(found) // count] for place in range(count)] if len(found) > count else list(found)


def projections(told: Told) -> Iterator[ScanRequest]:
    """Columns one by one, together, in another order, and none."""
    every = tuple(told.can.columns)
    for columns in ((), every, every[::-1], every[::2], *((each,) for each in every), *permutations(every[:3])):
        yield asked(told, columns)


def tests(told: Told) -> Iterator[Comparison]:
    """Each declared operator on each column with ordinary and hostile values."""
    for name, column in told.can.columns.items():
        for op in sorted(column.filters):
            yield from (Comparison(name, op, value) for value in operands(told, name, op))


def operands(told: Told, name: str, op: Op) -> list[Any]:
    found = values(told, name)
    if op is Op.IS_NULL:
        return [True, False]
    if op in (Op.IN, Op.NOT_IN):
        return [(), *((each,) for each in found[:3]), tuple(found), tuple(found[::2]), tuple(found[:2] * 3)]
    if op in (Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH, Op.I_CONTAINS, Op.I_STARTS_WITH, Op.I_ENDS_WITH):
        return [
            *found,
            *(part for each in found if 1 < len(each) < 100 for part in (each[:1], each[1:], each.swapcase())),
        ]
    return found


def filters(told: Told) -> Iterator[ScanRequest]:
    yield asked(told, told.key)
    yield from (asked(told, (*told.key, each.column), filter=each) for each in tests(told))


def nests(told: Told) -> Iterator[ScanRequest]:
    """And, or, not, nested; without them, what an All of tests can say."""
    few = [each for each in tests(told) if each.op in (Op.EQ, Op.LT, Op.IS_NULL, Op.NOT_IN)]
    one, two, three = (*spread(few, 3), ALWAYS_TRUE, ALWAYS_TRUE, ALWAYS_TRUE)[:3]
    yield from wheres(told, (And(()), And((one,)), And((one, two)), And((one, And((two, three))))))
    if told.can.boolean_filters:
        yield from wheres(told, logic(spread(few, 16)))


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


def related(told: Told, others: Mapping[str, Told]) -> Iterator[ScanRequest]:
    """That something is, or is not, there in a collection beside; and beside that again."""
    if not told.can.exists_filters:
        return
    own = next(tests(told), ALWAYS_TRUE)
    for lead in told.leads:
        other = others[lead.collection]
        few = spread([each for each in tests(other) if each.op in (Op.EQ, Op.NE, Op.GT, Op.IS_NULL)], 8)
        inner = [ALWAYS_TRUE, Or(()), *few, *(Not(each) for each in few), *beyond(other)]
        for found in (Exists(lead.collection, lead.outer_columns, lead.inner_columns, each) for each in inner):
            yield from wheres(told, (found, Not(found), Or((found, own)), Not(Or((found, Not(own))))))


def beyond(other: Told) -> Iterator[Any]:
    for lead in other.leads:
        yield lead
        yield Not(lead)
        yield Or((Not(Exists(lead.collection, lead.outer_columns, lead.inner_columns, Not(And(())))), lead))


def orders(told: Told) -> Iterator[ScanRequest]:
    """Each column both ways, nulls last and first, alone and before the key; and pairs of columns."""
    able = [name for name, column in told.can.columns.items() if column.sortable]
    if not set(told.key) <= set(able):
        return
    key = tuple(map(SortKey, told.key))
    ways = [SortKey(name, down, first) for name in able for down in (False, True) for first in (False, True)]
    for way in ways:
        yield from (ordered(told, (way,)), ordered(told, (way, *key)))
    for one, two in zip(ways, ways[5:] + ways[:5], strict=True):
        yield ordered(told, (one, two, *key))


def limits(told: Told) -> Iterator[ScanRequest]:
    for each in orders(told) if told.can.limit else ():
        if {order.column for order in each.sort} >= set(told.key):
            yield from (asked(told, each.columns, sort=each.sort, limit=limit) for limit in LIMITS)


def keys(told: Told) -> Iterator[ScanRequest]:
    """By each column tuple it can be read by: keys it knows, keys it does not, none, and as many as it takes."""
    for columns in key_columns(told):
        known = list(dict.fromkeys(key_of(row, columns) for row in told.rows if None not in key_of(row, columns)))
        hostile = [key for key in hostile_keys(told, columns, known) if key not in known]
        few = spread(known, 3)
        for chosen in ([], *([each] for each in few), known, hostile, known[:1] + hostile):
            yield by(told, columns, distinct(chosen)[: told.can.max_keys])
        filler = [key for key in many(told, columns) if key not in known]
        yield by(told, columns, distinct([*known, *filler])[: told.can.max_keys])


def keys_beside_the_rest(told: Told) -> Iterator[ScanRequest]:
    """By keys, and with a filter, an order, a limit for each key."""
    for base in [each for each in keys(told) if each.keys is not None and 1 < len(each.keys.values) < 100]:
        assert base.keys is not None
        for where in spread([each.filter for each in nests(told)], 3) if told.can.boolean_filters else ():
            yield by(told, base.keys.columns, base.keys.values, filter=where)
        for each in spread(list(orders(told)), 4):
            if {order.column for order in each.sort} >= set(told.key):
                yield by(told, base.keys.columns, base.keys.values, sort=each.sort)
                for limit in LIMITS if told.can.limit_per_key else ():
                    yield by(told, base.keys.columns, base.keys.values, sort=each.sort, limit=limit)


def counts(told: Told) -> Iterator[ScanRequest]:
    """Of all rows, of those that meet a filter, by each column, by two, and by keys."""
    if not told.can.aggregates:
        return
    every = tuple(told.can.columns)
    count = (COUNT_ROWS,)
    wheres = [ALWAYS_TRUE, Or(()), *spread([each.filter for each in nests(told)], 6)]
    for columns in ((), *((each,) for each in every), every[:2]):
        yield from (asked(told, columns, filter=where, aggregates=count) for where in wheres)
    for base in keys(told):
        assert base.keys is not None
        yield asked(told, base.keys.columns, keys=base.keys, aggregates=count)
        yield asked(told, base.keys.columns, keys=base.keys, filter=wheres[-1], aggregates=count)


def key_columns(told: Told) -> Iterable[tuple[str, ...]]:
    if not told.can.max_keys:
        return ()
    if told.can.key_columns:
        return sorted(told.can.key_columns)
    able = [name for name, column in told.can.columns.items() if column.type is not ColumnType.LIST]
    return [*((each,) for each in able), told.key, *pairwise(able), tuple(able[:4])]


def hostile_keys(told: Told, columns: Sequence[str], known: Sequence[Row]) -> Iterator[Row]:
    """A known key, one value of it replaced."""
    if not known:
        return
    for place, name in enumerate(columns):
        for value in HOSTILE[told.can.columns[name].type]:
            yield (*known[0][:place], value, *known[0][place + 1 :])


def many(told: Told, columns: Sequence[str]) -> list[Row]:
    """As many keys as one read may carry, where there are so many values; of columns that are not the key, a few."""
    made = {
        ColumnType.TEXT: lambda number: f"none of them {number}",
        ColumnType.INTEGER: lambda number: 1_000_000 + number,
        ColumnType.DECIMAL: lambda number: Decimal(number).scaleb(-3),
        ColumnType.DATE: lambda number: date(2030, 1, 1) + timedelta(days=number),
    }
    kinds = [told.can.columns[name].type for name in columns]
    if len(told.rows) > 1000 or not set(kinds) <= set(made):
        return []
    count = told.can.max_keys if tuple(columns) == told.key else FEW_KEYS
    return [tuple(made[kind](number) for kind in kinds) for number in range(count)]


def key_of(row: Mapping[str, Any], columns: Sequence[str]) -> Row:
    return tuple(row[name] for name in columns)


def distinct(found: Iterable[Row]) -> tuple[Row, ...]:
    return tuple(dict.fromkeys(found))


def wheres(told: Told, found: Iterable[Any]) -> Iterator[ScanRequest]:
    return (asked(told, told.key, filter=each) for each in found)


def ordered(told: Told, order: tuple[SortKey, ...]) -> ScanRequest:
    """No column is ordered by twice."""
    once = tuple({each.column: each for each in reversed(order)}.values())[::-1]
    return asked(told, tuple(dict.fromkeys((*told.key, *(each.column for each in once)))), sort=once)


def by(told: Told, columns: tuple[str, ...], chosen: Sequence[Row], **more: Any) -> ScanRequest:
    given = [*columns, *told.key, *(each.column for each in more.get("sort", ()))]
    return asked(told, tuple(dict.fromkeys(given)), keys=KeyFilter(columns, tuple(chosen)), **more)


def asked(told: Told, columns: Sequence[str], **more: Any) -> ScanRequest:
    return ScanRequest(**({"collection": told.name, "columns": tuple(columns), "keys": told.through} | more))
