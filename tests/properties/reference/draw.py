"""Draw random arguments with the ids, values and cursors of a world, some of them wrong."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from random import Random
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    coerce_input_value,
    get_named_type,
    get_nullable_type,
    is_required_argument,
)

from tests.properties.reference.pages import encode_row_cursor
from tests.properties.reference.world import ID, Dict, World, value

NESTING = 2
"""How deep a filter may nest."""
WRONG = 0.01
"""How often a size, a cursor or an operand is one that must be rejected."""
AHEAD = frozenset({"aggregate", "groups"})
"""The fields of a page that the first selection leaves out."""
STRANGE = {
    "ID": ("0", "", "007", "nobody", "1:1", "a:b:c", "99999999999999999999999"),
    "String": ("", "zz", "%", "_", "ß", "İ", "A"),
    "Int": (0, -1, 1, 2147483647),
    "Float": (0.0, -1.5),
    "Boolean": (True, False),
    "BigInt": ("0", "-1", "9223372036854775807"),
    "Decimal": ("0", "-0.00", "10.0", "999999999.99"),
    "Date": ("2024-02-29", "1970-01-01"),
    "DateTime": ("2024-02-29T12:00:00Z", "2026-05-05T02:17:35+02:00"),
}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value as JSON has it, and how to draw another for the same place."""

    value: Any
    again: Callable[[], Any]


def fixed(leaf: Any) -> Any:
    """The same values, for good: what a cursor was written for must not change."""
    match leaf:
        case Leaf():
            return Leaf(leaf.value, lambda: leaf.value)
        case dict():
            return {name: fixed(item) for name, item in leaf.items()}
        case list():
            return [fixed(item) for item in leaf]
        case _:
            return leaf


def plain(leaf: Any, *, again: bool = False) -> Any:
    match leaf:
        case Leaf():
            return leaf.again() if again else leaf.value
        case dict():
            return {name: plain(item, again=again) for name, item in leaf.items()}
        case list():
            return [plain(item, again=again) for item in leaf]
        case _:
            return leaf


class Draw:
    """Draws from one world with one seed."""

    def __init__(self, world: World, seed: str) -> None:
        self.world = world
        self.random = Random(seed)

    def odds(self, share: float) -> bool:
        return self.random.random() < share

    def leaf(self, draw: Callable[[], Any]) -> Leaf:
        return Leaf(draw(), draw)

    def arguments(self, coordinate: str, kind: str, depth: int) -> dict[str, Any]:
        """Of a list: a filter, an order, a page and a cursor, each now and then."""
        seeks = self.odds(0.35) and bool(self.world.rows[kind])
        where = self.where(kind, 0) if self.odds(0.45) else None
        order = self.order(kind) if self.odds(0.8 if seeks else 0.4) else None
        given = {
            **({"where": where} if where is not None else {}),
            **({"orderBy": order} if order is not None else {}),
            **self.size(depth),
        }
        if seeks:
            given = {name: fixed(item) if name in ("where", "orderBy") else item for name, item in given.items()}
            given |= self.cursors(coordinate, kind, given)
        return given

    def size(self, depth: int) -> dict[str, Any]:
        if self.odds(WRONG):
            return self.random.choice([{"first": -1}, {"last": 1001}, {"first": 2, "last": 2}, {"first": 100000}])
        if depth < 2 and self.odds(0.1):
            return {}
        most = 8 if depth == 0 else 3
        name = "first" if self.odds(0.6) else "last"
        return {name: self.leaf(lambda: 0 if self.odds(0.03) else self.random.randint(1, most))}

    def cursors(self, coordinate: str, kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
        arguments: Any = self.world.schema.type_map[coordinate.split(".")[0]]
        of = arguments.fields[coordinate.split(".")[1]].args
        coerced = {name: coerce_input_value(plain(item), of[name].type) for name, item in given.items()}

        def draw() -> str:
            if self.odds(WRONG):
                return self.random.choice(["", "x", "AAAA", "not a cursor"])
            return encode_row_cursor(
                self.world, kind, coordinate, coerced, self.place(kind, coerced.get("orderBy") or ())
            )

        sides = self.random.choice([("after",), ("before",), ("after", "before")])
        return {side: self.leaf(draw) for side in sides}

    def place(self, kind: str, order: Sequence[Mapping[str, Any]]) -> Dict:
        """Often one that has no value to be ordered by."""
        rows, binding = self.world.rows[kind], self.world.binding(kind)
        empty = [
            row for row in rows if any(value(binding, name, row) is None for sort_key in order for name in sort_key)
        ]
        return self.random.choice(empty if empty and self.odds(0.4) else rows)

    def order(self, kind: str) -> list[Any]:
        shown: Any = self.world.schema.type_map[kind]
        of: Any = self.world.schema.type_map[f"{kind}Order"].fields  # type: ignore[attr-defined]
        fields = [name for name, item in of.items() if get_named_type(item.type).name == "Direction"]
        empty = [field for field in fields if not str(shown.fields[field].type).endswith("!")] or fields
        many = self.random.choice([0, 1, 1, 1, 2, 2])
        return [{self.random.choice(empty if self.odds(0.4) else fields): self.direction()} for _ in range(many)]

    def direction(self) -> Leaf:
        return self.leaf(lambda: self.random.choice(["ASC", "DESC"]))

    def where(self, kind: str, depth: int) -> dict[str, Any]:
        fields = self.world.schema.type_map[f"{kind}Where"].fields  # type: ignore[attr-defined]
        tests = [name for name, field in fields.items() if get_named_type(field.type).name.endswith("Filter")]
        rest = [name for name in fields if name not in tests] if depth < NESTING else []
        names = [
            self.random.choice(rest if rest and self.odds(0.4) else tests)
            for _ in range(self.random.choice([0, 1, 1, 1, 2]))
        ]
        return {name: self.member(kind, name, depth) for name in names}

    def member(self, kind: str, name: str, depth: int) -> Any:
        if name in ("and", "or"):
            return [self.where(kind, depth + 1) for _ in range(self.random.choice([0, 1, 2, 2]))]
        if name == "not":
            return self.where(kind, depth + 1)
        link = self.world.binding(kind).relationships.get(name)
        if link is None:
            return self.tests(kind, name)
        if not self.world.many(kind, name):
            return self.where(link.to, depth + 1)
        quantifiers = self.random.sample(["some", "every", "none"], self.random.choice([1, 1, 1, 2]))
        return {quantifier: self.where(link.to, depth + 1) for quantifier in quantifiers}

    def tests(self, kind: str, name: str) -> dict[str, Any]:
        if self.odds(WRONG):
            return self.random.choice([{}, {"eq": None}, {"in": None}])
        of: Any = get_named_type(self.world.schema.type_map[f"{kind}Where"].fields[name].type)  # type: ignore[attr-defined]
        ops = self.random.sample(list(of.fields), self.random.choice([1, 1, 1, 2]))
        return {op: self.operand(kind, name, op, of.fields[op].type) for op in ops}

    def operand(self, kind: str, name: str, op: str, of: Any) -> Any:
        if op == "isNull":
            return self.leaf(lambda: self.odds(0.5))
        named = get_named_type(of)

        def one() -> Any:
            result = self.known(kind, name, named)
            return self.part(op, result) if op[-4:].lower() == "with" or "ontains" in op else result

        if isinstance(get_nullable_type(of), GraphQLList):
            if self.odds(0.5):
                return self.leaf(lambda: [one() for _ in range(self.random.randint(0, 5))])
            return [self.leaf(one) for _ in range(self.random.randint(0, 4))]
        return self.leaf(one)

    def known(self, kind: str, name: str, of: Any) -> Any:
        """A value some row holds, or one that is strange."""
        if isinstance(of, GraphQLEnumType):
            return self.random.choice(list(of.values))
        rows = self.world.rows[kind]
        row = self.random.choice(rows) if rows and not self.odds(0.07) else None
        result = None if row is None else value(self.world.binding(kind), name, row)
        if result is None:
            return self.random.choice(STRANGE[of.name])
        return self.respelled(result) if of.name == "ID" else written_as(of.name, result)

    def respelled(self, text: str) -> str:
        """Seldom an id in another spelling, which is no id: an id has one spelling."""
        return text.replace("1", "%31").replace("2", "%32") if self.odds(0.05) else text

    def part(self, op: str, text: str) -> str:
        start = 0 if op.endswith("tartsWith") else self.random.randint(0, len(text))
        end = len(text) if op.endswith("ndsWith") else self.random.randint(start, min(len(text), start + 4))
        cut = text[start:end][-4:]
        return cut.swapcase() if op.startswith("i") else cut

    def taken(self, coordinate: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Of a field that is looked up: now and then its default, else a value that some row there has."""
        kind, _, name = coordinate.partition(".")
        lookup = self.world.binding(kind).lookups[name]
        source: Any = self.world.catalog.connectors[lookup.source]
        held = source.collections[lookup.collection]
        given = {}
        for item, argument in arguments.items():
            if isinstance(get_named_type(argument.type), GraphQLInputObjectType):
                continue  # tests of what is in a file, which the worlds have no files for
            known = sorted({row[list(held.capabilities.columns).index(lookup.arguments[item])] for row in held.rows})
            if is_required_argument(argument) or self.odds(0.6):
                given[item] = self.leaf(partial(self.spoken, get_named_type(argument.type), known))
        return given

    def spoken(self, of: Any, among: Sequence[Any]) -> Any:
        """An enum by its name, whatever is held for it."""
        return self.random.choice(list(of.values) if isinstance(of, GraphQLEnumType) else among)

    def id(self, kind: str) -> Leaf:
        def draw() -> str:
            rows = self.world.rows[kind]
            if not rows or self.odds(0.05):
                return self.random.choice(STRANGE["ID"])
            return self.respelled(self.random.choice(rows)[ID])

        return self.leaf(draw)


def written_as(scalar: str, found: Any) -> Any:
    """A row's value as a client writes it."""
    match found:
        case bool() | float():
            return found
        case int():
            return found if scalar == "Int" else str(found)
        case Decimal():
            return format(found, "f")
        case datetime() | date():
            return found.isoformat()
        case _:
            return found


def subset(random: Random, names: Sequence[str], share: float) -> list[str]:
    return [name for name in names if random.random() < share]
