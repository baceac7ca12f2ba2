"""What a source declares of a collection in, all asks by many keys in a filter out."""

from collections.abc import Iterator, Mapping
from itertools import pairwise

from onedoor.spi.predicates import ALWAYS_TRUE, And, Exists, InKeys, Not, Op, Or, Row
from onedoor.spi.scan import ScanRequest
from tests.contract.asks import Told, asked, distinct, hostile_keys, key_of, many, spread, tests, wheres


def amongs(told: Told, others: Mapping[str, Told]) -> Iterator[ScanRequest]:
    """By many keys at once in a filter: by one column, by more, inside of everything else, as many as it takes."""
    if not told.can.max_in_filter_keys:
        return
    able = [name for name, column in told.can.columns.items() if Op.EQ in column.filters]
    found = [each for columns in (*((name,) for name in able), *pairwise(able)) for each in many_keys(told, columns)]
    one = next(tests(told), ALWAYS_TRUE)
    for each in found:
        yield asked(told, told.key, filter=each)
        if told.can.boolean_filters:
            yield from wheres(told, (Not(each), Or((each, one)), Not(Or((Not(each), one))), And((each, Not(each)))))
    yield from wheres(
        told, [InKeys(told.key, frozenset(known_and_more(told, told.key)[: told.can.max_in_filter_keys]))]
    )
    for lead in told.leads if told.can.exists_filters and told.can.boolean_filters else ():
        other = others[lead.collection]
        for inner in spread(list(many_keys(other, other.key)), 3):
            there = Exists(lead.collection, lead.outer_columns, lead.inner_columns, inner)
            yield from wheres(told, (there, Not(there), And((there, Not(spread(found, 1)[0])))))


def many_keys(told: Told, columns: tuple[str, ...]) -> Iterator[InKeys]:
    known = list(dict.fromkeys(key_of(row, columns) for row in told.rows if None not in key_of(row, columns)))
    hostile = [key for key in hostile_keys(told, columns, known) if key not in known]
    for chosen in ([], known[:1], spread(known, 3), known, hostile, known[:1] + hostile):
        yield InKeys(columns, frozenset(chosen[: told.can.max_in_filter_keys]))


def known_and_more(told: Told, columns: tuple[str, ...]) -> tuple[Row, ...]:
    return distinct([*(key_of(row, columns) for row in told.rows), *many(told, columns)])
