"""Values beyond links in, the reaches that bring them out: one for each link, however many values lie there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.house import House
from engine.names import columns_of, leads_to, link_columns
from engine.plan.push import average
from engine.plan.words import Path, Reach, Wanted
from engine.words import Aggregate, Kind, Measure, Order, Row

NONE_OF_NO_ROWS = {Aggregate.COUNT: 0, Aggregate.COUNT_DISTINCT: 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A value at the end of single links: a field there, or an aggregate of the list at the end of one more link."""

    links: Path
    field: str | None = None
    aggregate: str | None = None
    """`count`, `sum` and so on, as the schema names them."""

    def below(self) -> "Term":
        return Term(links=self.links[1:], field=self.field, aggregate=self.aggregate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """What must be measured for some aggregates of a type's columns."""

    measures: tuple[Measure, ...]
    averages: tuple[str, ...]


def names(house: House, type_name: str, term: Term) -> tuple[str, ...]:
    """What the values of a term are called in the rows of the type: more than one of a composite id."""
    if term.links:
        to, _ = leads_to(house, type_name, term.links[0])
        return tuple(f"{term.links[0]}.{each}" for each in names(house, to, term.below()))
    if term.aggregate is not None:
        return (measured_name(house, type_name, term.aggregate, term.field),)
    assert term.field is not None
    return columns_of(house.bindings[type_name], term.field)


def kinds(house: House, type_name: str, term: Term) -> tuple[Kind, ...]:
    """What those values are."""
    if term.links:
        return kinds(house, leads_to(house, type_name, term.links[0])[0], term.below())
    binding = house.bindings[type_name]
    columns = house.sources[binding.source].can(binding.collection).columns
    if term.aggregate in (None, "sum", "min", "max", "avg"):
        assert term.field is not None
        found = tuple(columns[each].kind for each in columns_of(binding, term.field))
        return (
            tuple(Kind.FLOAT if each is Kind.INTEGER else each for each in found) if term.aggregate == "avg" else found
        )
    return (Kind.INTEGER,)


def measured_name(house: House, type_name: str, aggregate: str, field: str | None) -> str:
    if aggregate == "avg":
        assert field is not None
        return average(columns_of(house.bindings[type_name], field)[0])
    return measure(house, type_name, aggregate, field).name


def measure(house: House, type_name: str, aggregate: str, field: str | None) -> Measure:
    """Each of a composite id is another row, so they are counted as rows."""
    columns = columns_of(house.bindings[type_name], field) if field is not None else ()
    return Measure(Aggregate(aggregate), columns[0]) if len(columns) == 1 else Measure(Aggregate.COUNT)


def measuring(house: House, type_name: str, wanted: Sequence[tuple[str, str | None]]) -> Measuring:
    """`wanted`: (aggregate, field), as the schema names them; an average is a sum and a count."""
    found: dict[Measure, None] = {}
    averages: dict[str, None] = {}
    for aggregate, field in wanted:
        if aggregate == "avg":
            assert field is not None
            column = columns_of(house.bindings[type_name], field)[0]
            averages[column] = None
            found |= dict.fromkeys((Measure(Aggregate.SUM, column), Measure(Aggregate.COUNT, column)))
        else:
            found[measure(house, type_name, aggregate, field)] = None
    return Measuring(measures=tuple(found), averages=tuple(averages))


def reaches(house: House, type_name: str, terms: Sequence[Term]) -> tuple[Reach, ...]:
    """One for each link that the terms begin with; what a term without links says is the type's own."""
    links = dict.fromkeys(each.links[0] for each in terms if each.links)
    return tuple(_reach(house, type_name, link, _beyond(terms, link)) for link in links)


def _beyond(terms: Sequence[Term], link: str) -> list[Term]:
    return [each.below() for each in dict.fromkeys(terms) if each.links and each.links[0] == link]


def _reach(house: House, type_name: str, link: str, terms: Sequence[Term]) -> Reach:
    to, many = leads_to(house, type_name, link)
    here, there = link_columns(house.bindings[type_name].links[link])
    wanted = _many(house, to, there, terms) if many else _one(house, to, there, terms)
    held = {name: kind for each in terms for name, kind in _held(house, to, each)}
    takes = tuple(held)
    return Reach(
        here=here,
        wanted=wanted,
        takes=takes,
        names=tuple(f"{link}.{each}" for each in takes),
        kinds=tuple(held.values()),
        absent=absent_row(takes, wanted.measures if many else ()),
    )


def _held(house: House, to: str, term: Term) -> Iterator[tuple[str, Kind]]:
    return zip(names(house, to, term), kinds(house, to, term), strict=True)


def _many(house: House, to: str, there: tuple[str, ...], terms: Sequence[Term]) -> Wanted:
    target = house.bindings[to]
    made = measuring(house, to, [(each.aggregate or "", each.field) for each in terms])
    return Wanted(
        source=target.source,
        collection=target.collection,
        columns=there,
        keyed=there,
        measures=made.measures,
        averages=made.averages,
    )


def _one(house: House, to: str, there: tuple[str, ...], terms: Sequence[Term]) -> Wanted:
    """Where several rows match, the one whose key comes first."""
    target = house.bindings[to]
    unique = there == target.key
    own = [name for each in terms if not each.links for name in names(house, to, each)]
    return Wanted(
        source=target.source,
        collection=target.collection,
        columns=tuple(dict.fromkeys((*own, *there))),
        keyed=there,
        reaches=reaches(house, to, terms),
        order=() if unique else tuple(Order(each) for each in target.key),
        limit=None if unique else 1,
    )


def absent_row(names_of: Sequence[str], measures: Sequence[Measure]) -> Row:
    """What is said of no rows: counts of 0, and nothing else."""
    counts = {each.name: NONE_OF_NO_ROWS.get(each.aggregate) for each in measures}
    return tuple(counts.get(each) for each in names_of)
