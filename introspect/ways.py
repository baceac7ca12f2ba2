"""References in, links both ways out."""

from collections.abc import Iterable, Mapping, Sequence, Set

from introspect import said
from introspect.names import Words, camel, free, many, words
from introspect.shape import Titled, Way
from introspect.words import Reference, Table

KEYS = frozenset({"id", "key", "uuid", "guid", "fk", "ref", "code", "no", "nr", "number", "sk"})
"""How a column ends that names a row rather than holds something."""


def ways(table: Table, tables: Sequence[Table], titled: Mapping[str, Titled], taken: Set[str]) -> tuple[Way, ...]:
    """Where a row leads, then what leads to it; no name twice, and none that a field has."""
    found: dict[str, Way] = {}
    names = {*taken, "id", "and", "or", "not"}
    for each in (*_ahead(table, titled, names), *_back(table, tables, titled, names)):
        found[camel(each.words)] = each
    return tuple(found.values())


def _ahead(table: Table, titled: Mapping[str, Titled], names: set[str]) -> Iterable[Way]:
    for each in table.references:
        base = lead(each, table, titled[each.to])
        called = free((base, titled[each.to].words, (*base, "row")), names)
        names.add(camel(called))
        yield Way(
            words=called,
            leads="One",
            to=titled[each.to].type,
            here=each.columns,
            there=each.there,
            description=_comment(each, table) or said.of_lead(called, titled[each.to].words),
        )


def lead(reference: Reference, table: Table, target: Titled) -> Words:
    """What a reference is called after: its column without its `id`, or the row it leads to."""
    if len(reference.columns) > 1 or reference.columns == table.key or set(reference.columns) & set(table.needs):
        return target.words
    own = words(reference.columns[0])
    if own[-1] in KEYS or own[-1] == words(reference.there[0])[-1]:
        own = own[:-1]
    if not own or own == ("".join((*target.words, "id")),):
        return target.words
    return own


def _back(table: Table, tables: Sequence[Table], titled: Mapping[str, Titled], names: set[str]) -> Iterable[Way]:
    for other in tables:
        leading = [each for each in other.references if each.to == table.name]
        for each in leading:
            alone = each.alone or each.columns == other.key
            noun = titled[other.name].words
            link = lead(each, other, titled[table.name])
            short, long = _called(noun, link, alone)
            plain = (len(leading) == 1 and other is not table) or link == titled[table.name].words
            brief = (many(words(other.name.rpartition(".")[2])),) if other.declared and not alone else ()
            called = free((*brief, short, long) if plain else (long,), names)
            names.add(camel(called))
            yield Way(
                words=called,
                leads="One" if alone else "Many",
                to=titled[other.name].type,
                here=each.there,
                there=each.columns,
                description=said.of_back(noun, link, called in (short, *brief), alone),
            )


def _called(noun: Words, link: Words, alone: bool) -> tuple[Words, Words]:
    """Without and with the link it is the other side of."""
    if link == ("parent",) and not alone:
        return many(noun), ("children",)
    short = noun if alone else many(noun)
    return short, (*short, "by", *link)


def _comment(reference: Reference, table: Table) -> str:
    """What is said of the column, where the reference is all that it says."""
    if len(reference.columns) > 1 or reference.columns == table.key:
        return ""
    return next((said.sentence(each.comment) for each in table.columns if (each.name,) == reference.columns), "")
