"""Draw random arguments for a world: filters by values its rows have, sorts, pages and groups."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from tests.properties.equality.filters import meets
from tests.properties.equality.measures import compute_aggregate, result
from tests.properties.equality.model import MODEL, POOLS, Leads
from tests.properties.equality.question import Place, Word, path
from tests.properties.equality.rows import field_value, identity, linked_rows, scalar
from tests.properties.equality.world import World

EQUALITY = ("eq", "ne", "in", "notIn", "isNull")
ORDERED = (*EQUALITY, "lt", "lte", "gt", "gte")
PARTS = ("contains", "startsWith", "endsWith", "iContains", "iStartsWith", "iEndsWith")
NUMBERS = ("Int", "BigInt", "Float", "Decimal")
COMPARED = (*NUMBERS, "String", "Date", "DateTime")
UNITS = {"Date": ("WEEK", "MONTH", "QUARTER", "YEAR"), "DateTime": ("HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR")}
NESTING = 3
"""How deep a filter may nest."""


def operators(of: str) -> Sequence[str]:
    if of not in COMPARED:
        return EQUALITY
    return (*ORDERED, *PARTS) if of == "String" else ORDERED


class Arguments:
    """Draws from one world, and notes what it drew.

    `random` draws what is asked, `values` what a variable could hold: with others of these, it is the same question.
    """

    def __init__(self, of: World, random: Random, values: Random, odds: Mapping[str, float]) -> None:
        self.world = of
        self.random = random
        self.values = values
        self.odds = odds
        self.features: set[str] = set()

    def does(self, feature: str, depth: int = 0) -> bool:
        """Whether to use a feature here, the less the deeper."""
        drawn = self.random.random() < self.odds[feature] * 0.7**depth
        if drawn:
            self.features.add(feature)
        return drawn

    def led(self, link: Leads) -> list[Mapping[str, Any]]:
        """The rows that some link leads to."""
        results = {
            identity(link.to, linked_row): linked_row
            for kind, of in MODEL.items()
            for name, known in of.links.items()
            if known == link
            for row in self.world.rows[kind]
            for linked_row in linked_rows(self.world, kind, row, name)
        }
        return list(results.values())

    def paging(self, kind: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        given: dict[str, Any] = {}
        if self.does("where"):
            given["where"] = self.where(kind, 0)
        if self.does("order"):
            given["orderBy"] = [self.term(kind, 0) for _ in range(self.random.choice([1, 1, 2, 3]))]
        if self.does("page"):
            given["last" if self.does("last") else "first"] = self.values.choice([0, 1, 2, 3, 3, 4, 7, 12])
        matching = [row for row in rows if meets(self.world, kind, row, given.get("where", {}))]
        for side in ("after", "before"):
            if self.does(side) and matching:
                given[side] = Place(identity(kind, self.values.choice(matching)))
        return given

    def direction(self) -> Word:
        return Word(self.random.choice(["ASC", "DESC"]))

    def columns(self, kind: str) -> list[str]:
        """The fields that can be filtered, ordered and grouped by."""
        return ["id", *(field for field in MODEL[kind].fields if scalar(kind, field) != "[String]")]

    def term(self, kind: str, depth: int) -> dict[str, Any]:
        """What to order by, and how."""
        links = MODEL[kind].links
        singles = [link for link in links if not links[link].many]
        lists = [link for link in links if links[link].many]
        if lists and self.does("order by an aggregate", depth):
            name = self.random.choice(lists)
            return {name: self.measured(links[name].to)}
        if singles and self.does("order through a link", depth):
            name = self.random.choice(singles)
            return {name: self.term(links[name].to, depth + 1)}
        return {self.random.choice(self.columns(kind)): self.direction()}

    def measurable(self, kind: str) -> dict[str, Sequence[str]]:
        """By aggregate, the fields it is computed of."""
        columns = self.columns(kind)
        numbers = [column for column in columns if scalar(kind, column) in NUMBERS]
        compared = [column for column in columns if scalar(kind, column) in COMPARED]
        possible = {
            "count": [""], "countDistinct": columns, "sum": numbers, "avg": numbers, "min": compared, "max": compared,
        }  # fmt: skip
        return {name: item for name, item in possible.items() if item}

    def measured(self, kind: str) -> dict[str, Any]:
        """An aggregate to order by."""
        possible = self.measurable(kind)
        name = self.random.choice(list(possible))
        if name == "count":
            return {name: self.direction()}
        return {name: {self.random.choice(possible[name]): self.direction()}}

    def where(self, kind: str, depth: int) -> dict[str, Any]:
        said: dict[str, Any] = {}
        if depth < NESTING:
            said |= self.logic(kind, depth + 1) | self.led_where(kind, depth + 1)
        for name in self.random.sample(self.columns(kind), 0 if said and self.random.random() < 0.6 else 1):
            said[name] = self.tests(scalar(kind, name), self.known(kind, name))
        return said

    def logic(self, kind: str, depth: int) -> dict[str, Any]:
        said: dict[str, Any] = {}
        for name in ("and", "or"):
            if self.does(name):
                said[name] = [self.where(kind, depth) for _ in range(self.random.choice([0, 1, 2, 2, 2]))]
        if self.does("not"):
            said["not"] = self.where(kind, depth)
        return said

    def led_where(self, kind: str, depth: int) -> dict[str, Any]:
        said: dict[str, Any] = {}
        for name, link in MODEL[kind].links.items():
            if link.many:
                quantified = [item for item in ("some", "every", "none") if self.does(f"where {item}", depth)]
                if quantified:
                    said[name] = {item: self.where(link.to, depth) for item in quantified}
            elif self.does("where to one", depth):
                said[name] = self.where(link.to, depth)
        return said

    def known(self, kind: str, name: str) -> list[Any]:
        """Values some rows hold, and some that perhaps none does."""
        if name == "id":
            return [*(identity(kind, row) for row in self.world.rows[kind]), "007", "1:1"]
        column = MODEL[kind].columns[MODEL[kind].fields[name]]
        values = [field_value(kind, row, name) for row in self.world.rows[kind]]
        return [*(value for value in values if value is not None), *self.values.sample(POOLS[column.pool], 2)]

    def tests(self, of: str, known: Sequence[Any]) -> dict[str, Any]:
        count = self.random.choice([1, 1, 1, 2])
        return {operator: self.operand(of, operator, known) for operator in self.random.sample(operators(of), count)}

    def operand(self, of: str, test: str, known: Sequence[Any]) -> Any:
        if test == "isNull":
            return self.values.random() < 0.5
        if test in ("in", "notIn"):
            return [self.one(of, known) for _ in range(self.random.choice([0, 1, 2, 3]))]
        value = self.one(of, known)
        return self.part(test, value) if test in PARTS else value

    def one(self, of: str, known: Sequence[Any]) -> Any:
        value = self.values.choice(known)
        return Word(value) if of in ("ShopKind", "Reason") else value

    def part(self, test: str, text: str) -> str:
        start = 0 if test.endswith("tartsWith") else self.values.randint(0, len(text))
        end = len(text) if test.endswith("ndsWith") else self.values.randint(start, len(text))
        return text[start:end].swapcase() if test.startswith("i") else text[start:end]

    def grouping(self, kind: str) -> dict[str, Any]:
        """No column twice."""
        drawn = [self.by(kind, 0) for _ in range(self.random.choice([1, 1, 2, 2, 3]))]
        by = list({path(item): item for item in drawn}.values())
        given: dict[str, Any] = {"by": by}
        if self.does("having"):
            given["having"] = self.having(kind, 0)
        if self.does("group order"):
            given["orderBy"] = [self.group_term(kind, by) for _ in range(self.random.choice([1, 1, 2]))]
        if self.does("first groups"):
            given["first"] = self.values.choice([0, 1, 2, 3, 5])
        return given

    def by(self, kind: str, depth: int) -> dict[str, Any]:
        singles = [name for name, link in MODEL[kind].links.items() if not link.many]
        if singles and depth < 2 and self.does(("by through a link", "by through two links")[depth]):
            name = self.random.choice(singles)
            return {name: self.by(MODEL[kind].links[name].to, depth + 1)}
        columns = self.columns(kind)
        cutting = [column for column in columns if scalar(kind, column) in UNITS]
        name = self.random.choice([*columns, *cutting, *cutting])
        units = UNITS.get(scalar(kind, name), ())
        return {name: Word(self.random.choice(units) if units and self.does("by units") else "VALUE")}

    def group_term(self, kind: str, by: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        if not self.does("group order by key"):
            return self.measured(kind)
        result: Any = self.direction()
        for name in reversed(path(self.random.choice(by))):
            result = {name: result}
        return {"key": result}

    def having(self, kind: str, depth: int) -> dict[str, Any]:
        said: dict[str, Any] = {}
        if depth < 2:
            for item in ("and", "or"):
                if self.does(item):
                    said[item] = [self.having(kind, depth + 1) for _ in range(self.random.choice([0, 1, 2, 2]))]
            if self.does("not"):
                said["not"] = self.having(kind, depth + 1)
        possible = self.measurable(kind)
        name = self.random.choice(list(possible))
        if name == "count":
            return said | {name: self.tests("Int", [0, 1, 1, 2, 3])}
        column = self.random.choice(possible[name])
        return said | {name: {column: self.tests(result(kind, name, column), self.come_to(kind, name, column))}}

    def come_to(self, kind: str, name: str, column: str) -> list[Any]:
        """What a measure comes to, of all rows, of one, and of some."""
        rows = self.world.rows[kind]
        some = [rows, *([row] for row in rows), *(rows[index : index + 2] for index in range(len(rows)))]
        aggregates = [compute_aggregate(kind, item, {name: {column: None}}) for item in some]
        return [aggregate for aggregate in aggregates if aggregate is not None] or [
            POOLS[result(kind, name, column)][0]
        ]
