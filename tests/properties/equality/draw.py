"""Draw a random query from a seed, with the features of the language that it uses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.properties.equality.arguments import Arguments
from tests.properties.equality.model import MODEL, SINGLES
from tests.properties.equality.question import Field, path
from tests.properties.equality.rows import identity
from tests.properties.equality.world import World, world

DEEPEST = 3
ODDS = {
    "one by id": 0.12, "a link to one": 0.45, "a link to many": 0.5, "typename": 0.05, "edges": 0.3,
    "totalCount": 0.25, "pageInfo": 0.3, "aggregate": 0.35, "groups": 0.45, "variables": 0.4,
    "where": 0.4, "where to one": 0.3, "where some": 0.12, "where every": 0.08, "where none": 0.08, "and": 0.06,
    "or": 0.08, "not": 0.08,
    "order": 0.55, "order through a link": 0.25, "order by an aggregate": 0.2,
    "page": 0.55, "last": 0.4, "after": 0.15, "before": 0.1,
    "by through a link": 0.35, "by through two links": 0.3, "by units": 0.7, "having": 0.4, "group order": 0.55,
    "group order by key": 0.35, "first groups": 0.35,
}  # fmt: skip
"""How often each feature of the language is drawn where it is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`seed` gives the same again; `features` are names of `ODDS`.

    Where it has variables, it is asked a second time, with others.
    """

    seed: str
    world: World
    turns: Sequence[Sequence[Field]]
    features: frozenset[str]


def question(seed: str) -> Question:
    of = world(seed)
    draws = [Draw(of, seed, turn) for turn in (1, 2)]
    turns = [draw.fields() for draw in draws]
    varies = "variables" in draws[0].given.features
    return Question(
        seed=seed, world=of, turns=turns if varies else turns[:1], features=frozenset(draws[0].given.features)
    )


class Draw:
    """Fields, and below them fields; each turn the same but for values."""

    def __init__(self, of: World, seed: str, turn: int) -> None:
        self.world = of
        self.random = Random(f"question {seed}")
        self.given = Arguments(of, self.random, Random(f"values {seed} {turn}"), ODDS)
        self.does = self.given.does
        self.aliases = 0
        self.speaks = self.random.choice([0.3, 1.0, 1.0]) if self.does("variables") else 0.0

    def fields(self) -> list[Field]:
        return [self.root() for _ in range(self.random.choice([1, 1, 2]))]

    def root(self) -> Field:
        kind = self.random.choice(list(MODEL))
        if not self.does("one by id"):
            return self.connection(MODEL[kind].all, kind, self.world.rows[kind], 0)
        known = [identity(kind, row) for row in self.world.rows[kind]]
        name = next(name for name, single in SINGLES.items() if single == kind)
        given = {"id": self.given.values.choice([*known, "1:1", "007"])}
        return self.named(name, given, {"id": "ID!"}, self.members(kind, 0))

    def named(self, name: str, given: Mapping[str, Any], types: Mapping[str, str], below: Sequence[Field]) -> Field:
        """A field with arguments stands under its own alias, and says some of them by variables."""
        self.aliases += 1
        spoken = {item: types[item] for item in given if self.random.random() < self.speaks}
        return Field(name=name, alias=f"a{self.aliases}", arguments=given, spoken=spoken, below=below)

    def members(self, kind: str, depth: int) -> list[Field]:
        """What is asked of a row."""
        columns = ["id", *MODEL[kind].fields]
        chosen = self.random.sample(columns, self.random.randint(1, min(4, len(columns))))
        fields = [Field(name=item) for item in chosen]
        if self.does("typename"):
            fields.append(Field(name="__typename"))
        if depth < DEEPEST:
            fields += self.links(kind, depth + 1)
        return fields

    def links(self, kind: str, depth: int) -> list[Field]:
        links = MODEL[kind].links
        name = self.random.choice([link for link in links if not links[link].many] or [""])
        results = []
        if name and self.does("a link to one", depth):
            results.append(Field(name=name, below=self.members(links[name].to, depth)))
        name = self.random.choice([link for link in links if links[link].many] or [""])
        if name and self.does("a link to many", depth):
            results.append(self.connection(name, links[name].to, self.given.led(links[name]), depth))
        return results

    def connection(self, name: str, kind: str, rows: Sequence[Mapping[str, Any]], depth: int) -> Field:
        """A list that has some of these rows."""
        types = {
            "where": f"{kind}Where", "orderBy": f"[{kind}Order!]", "first": "Int", "last": "Int", "after": "String",
            "before": "String",
        }  # fmt: skip
        return self.named(name, self.given.paging(kind, rows), types, self.parts(kind, depth))

    def parts(self, kind: str, depth: int) -> list[Field]:
        name = "edges" if self.does("edges") else "nodes"
        members = self.members(kind, depth)
        edges = [Field(name="node", below=members)] if name == "edges" else members
        results = [Field(name=name, below=edges)]
        if self.does("totalCount"):
            results.append(Field(name="totalCount"))
        if self.does("pageInfo"):
            results.append(Field(name="pageInfo", below=[Field(name="hasNextPage"), Field(name="hasPreviousPage")]))
        if self.does("aggregate"):
            results.append(self.aggregate(kind))
        if self.does("groups"):
            results.append(self.groups(kind))
        if len(results) > 1 and self.random.random() < 0.2:
            results.pop(0)
        return self.random.sample(results, len(results))

    def aggregate(self, kind: str) -> Field:
        possible = self.given.measurable(kind)
        names = self.random.sample(list(possible), self.random.randint(1, 3))
        return Field(name="aggregate", below=[self.measures(name, possible[name]) for name in names])

    def measures(self, name: str, columns: Sequence[str]) -> Field:
        if name == "count":
            return Field(name=name)
        chosen = self.random.sample(columns, self.random.randint(1, min(2, len(columns))))
        return Field(name=name, below=[Field(name=item) for item in chosen])

    def groups(self, kind: str) -> Field:
        given = self.given.grouping(kind)
        types = {
            "by": f"[{kind}GroupBy!]!", "having": f"{kind}Having", "orderBy": f"[{kind}GroupOrder!]", "first": "Int",
        }  # fmt: skip
        keys = Field(name="key", below=nested([path(item) for item in given["by"]]))
        return self.named("groups", given, types, [keys, self.aggregate(kind)])


def nested(paths: Sequence[tuple[str, ...]]) -> list[Field]:
    """Fields that lead along these paths."""
    heads = dict.fromkeys(path[0] for path in paths)
    tails = {head: [path[1:] for path in paths if path[0] == head and path[1:]] for head in heads}
    return [Field(name=head, below=nested(tails[head])) for head in heads]
