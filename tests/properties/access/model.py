"""Say what somebody is answered, in the plainest way: what is denied is null with an error, what is masked is a part.

Whether a field is denied depends on no row. So the query is first relieved of what is denied, the rest is evaluated the
naive way over the rows that are seen, and then the nulls are put in and the masks on.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from onedoor.mapping import ALL_ROWS
from onedoor.model.masks import Bucket, Domain, KeyedHash, LastCharacters, Mask, Year
from onedoor.model.row_rules import RowRules
from tests.properties.access.rules import Reader
from tests.properties.access.world import COMPUTED, Access
from tests.properties.equality.model import MODEL, ROOTS, SINGLES
from tests.properties.equality.naive import data
from tests.properties.equality.question import Field, Place, path
from tests.properties.equality.world import World

SECRET = b"a secret of the tests"
"""That of the catalog, from which hashes have their keys."""

Path = tuple[str | int, ...]
Groups = frozenset[frozenset[str]]
"""What would do: one group of each."""


@dataclass(slots=True)
class Denial:
    """A field that is denied: the first of its nulls, how many there are, and what would do, by place that denies."""

    path: Path
    reasons: frozenset[Groups]
    nulls: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    data: Mapping[str, Any]
    denials: Sequence[Denial]
    masked: int
    """The fields of the root below which something is masked."""


def answer(visible: World, access: Access, reader: Reader, fields: Sequence[Field]) -> Answer | None:
    """What a reader is answered of the part of a world that is visible to them; None: a cursor is refused."""
    model = Model(access=access, reader=reader)
    if model.names_foreign_cursor(fields, "Query", ""):
        return None
    shown = data(visible, model.relieve(fields, "Query", ""))
    completed = model.complete(fields, "Query", "", shown, ())
    return Answer(data=completed, denials=tuple(model.denials.values()), masked=len(model.masked))


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """`kind` is the type of rows that a field is about, `part` what of them: "" for a row itself."""

    access: Access
    reader: Reader
    denials: dict[tuple[str, ...], Denial] = field(default_factory=dict)
    masked: set[str | int] = field(default_factory=set)

    def relieve(self, fields: Sequence[Field], kind: str, part: str) -> list[Field]:
        """Leave out what is denied, and name what a computed field shows."""
        return [
            replace(
                item,
                name=COMPUTED.get((kind, item.name), item.name),
                alias=item.key,
                below=self.relieve(item.below, *step(kind, part, item)),
            )
            for item in fields
            if not self.list_reasons(kind, part, item)
        ]

    def names_foreign_cursor(self, fields: Sequence[Field], kind: str, part: str) -> bool:
        """Whether a page is to begin or end where somebody found it who sees other rows."""
        return any(
            self.is_foreign(kind, item) or self.names_foreign_cursor(item.below, *step(kind, part, item))
            for item in fields
            if not self.list_reasons(kind, part, item)
        )

    def is_foreign(self, kind: str, item: Field) -> bool:
        if not any(isinstance(value, Place) for value in item.arguments.values()):
            return False
        listed = ROOTS[item.name] if kind == "Query" else MODEL[kind].links[item.name].to
        types = {listed, *(to for term in item.arguments.get("orderBy", ()) for to in list_types(listed, path(term)))}
        return any(not self.sees_all(self.access.rows[to]) for to in types & self.access.rows.keys())

    def sees_all(self, rules: RowRules) -> bool:
        return any(rule is ALL_ROWS for group, rule in rules.items() if group in self.reader.groups)

    def complete(self, fields: Sequence[Field], kind: str, part: str, shown: Any, path: Path) -> Any:
        """Put a null where a field is denied, and the mask on what is masked."""
        if isinstance(shown, list):
            return [self.complete(fields, kind, part, item, (*path, index)) for index, item in enumerate(shown)]
        if shown is None:
            return None
        return {item.key: self.complete_field(item, kind, part, shown, (*path, item.key)) for item in fields}

    def complete_field(self, item: Field, kind: str, part: str, shown: Mapping[str, Any], path: Path) -> Any:
        reasons = self.list_reasons(kind, part, item)
        if reasons:
            place = tuple(name for name in path if isinstance(name, str))
            self.denials.setdefault(place, Denial(path, reasons)).nulls += 1
            return None
        value = shown[item.key]
        if item.below:
            return self.complete(item.below, *step(kind, part, item), value, path)
        return self.show(kind, item.name, value, path) if part == "" and kind != "Query" else value

    def show(self, kind: str, name: str, value: Any, path: Path) -> Any:
        """Show a value of a row, as it is or masked; a computed field spells it."""
        if value is None or (kind, name) not in self.access.masks:
            return value
        if self.reader.groups & self.access.get_unmasked_rule((kind, name)):
            return spell(kind, name, value) if (kind, name) in COMPUTED else value
        self.masked.add(path[0])
        own = [mask for group, mask in self.access.masks[kind, name].items() if group in self.reader.groups]
        return min(map(Hidden, own)).show(kind, name, value)

    def list_reasons(self, kind: str, part: str, item: Field) -> frozenset[Groups]:
        """What would do, for each place at which a field is denied: itself, or what its arguments name."""
        return frozenset(unmet for place in self.list_places(kind, part, item) if (unmet := self.find_unmet(*place)))

    def list_places(self, kind: str, part: str, item: Field) -> Iterator[tuple[str, str, bool]]:
        """A type, a field of it, and whether its values are used rather than shown."""
        if item.name == "__typename" or part in ("pageInfo", "edges"):
            return
        if kind == "Query":
            kind = {**ROOTS, **SINGLES}[item.name]
            yield kind, "id", False
        elif part == "":
            yield kind, item.name, False
            if item.name in MODEL[kind].links:
                kind = MODEL[kind].links[item.name].to
        elif part in ("measures", "key"):
            yield kind, item.name, True
        for name, value in item.arguments.items():
            yield from self.list_named(kind, name, value)

    def list_named(self, kind: str, name: str, value: Any) -> Iterator[tuple[str, str, bool]]:
        """What an argument names: fields of the type, and those of types that its links lead to."""
        if name in ("where", "orderBy", "by", "having"):
            for part in value if isinstance(value, list) else [value]:
                yield from self.list_named_fields(kind, part)

    def list_named_fields(self, kind: str, value: Any) -> Iterator[tuple[str, str, bool]]:
        for name, inner in value.items() if isinstance(value, dict) else ():
            if name in MODEL[kind].links:
                yield kind, name, False
                yield from self.list_named_fields(MODEL[kind].links[name].to, inner)
            elif name == "id" or name in MODEL[kind].fields:
                yield kind, name, True
            else:
                for part in inner if isinstance(inner, list) else [inner]:
                    yield from self.list_named_fields(kind, part)

    def find_unmet(self, kind: str, name: str, uses: bool) -> Groups:
        """The rules that a reader does not meet: the type's, the field's, and that of the type that it leads to."""
        rules = {self.access.types[kind]}
        if uses and (kind, name) in self.access.masks:
            rules.add(self.access.get_unmasked_rule((kind, name)))
        elif (kind, name) in self.access.fields:
            rules.add(self.access.fields[kind, name])
        if name in MODEL[kind].links:
            rules.add(self.access.types[MODEL[kind].links[name].to])
        return frozenset(rule for rule in rules if not rule & self.reader.groups)


def list_types(kind: str, names: Sequence[str]) -> Iterator[str]:
    """The types that a path from a type goes through."""
    for name in names:
        if name not in MODEL[kind].links:
            return
        kind = MODEL[kind].links[name].to
        yield kind


def step(kind: str, part: str, item: Field) -> tuple[str, str]:
    """What stands below a field."""
    if kind == "Query":
        return {**ROOTS, **SINGLES}[item.name], "list" if item.name in ROOTS else ""
    if part == "" and item.name in MODEL[kind].links:
        link = MODEL[kind].links[item.name]
        return link.to, "list" if link.many else ""
    if part == "key":
        return MODEL[kind].links[item.name].to if item.name in MODEL[kind].links else kind, "key"
    return kind, PARTS.get(item.name, "measures")


PARTS = {
    "nodes": "", "node": "", "edges": "edges", "pageInfo": "pageInfo", "groups": "group", "key": "key",
    "aggregate": "aggregate",
}  # fmt: skip
"""By field of a list, what stands below it; below a field of an aggregate stand the measures."""


def spell(kind: str, name: str, value: str) -> str:
    """A value that JSON spells, without the zeros of a decimal."""
    return format(Decimal(value).normalize(), "f") if COMPUTED[kind, name] == "salary" else value


class Hidden:
    """A mask as the model has it: which of two shows more, and what it shows."""

    def __init__(self, mask: Mask) -> None:
        self.mask = mask

    def __lt__(self, other: "Hidden") -> bool:
        return self.order() < other.order()

    def order(self) -> tuple[int, Any]:
        """What shows most comes first: characters, a domain, a year, a range, a hash."""
        match self.mask:
            case LastCharacters(count):
                return 0, -count
            case Domain():
                return 1, 0
            case Year():
                return 2, 0
            case Bucket(width):
                return 3, width
            case _:
                return 4, 0

    def show(self, kind: str, name: str, value: str) -> str:
        match self.mask:
            case LastCharacters(count):
                return "••••" + (value[len(value) - count :] if len(value) >= 2 * count else "")
            case Domain():
                return "••••" + ("@" + value.split("@")[-1] if "@" in value else "")
            case Year():
                return value[:4]
            case Bucket(width):
                start = Decimal(value) // width * width
                start -= width if start > Decimal(value) else 0
                return f"{start:f} to less than {start + width:f}"
            case KeyedHash():
                key = hmac.new(SECRET, f"mask {kind}.{name}".encode(), hashlib.sha256).digest()
                spelled = spell(kind, name, value) if (kind, name) in COMPUTED else value
                return hmac.new(key, spelled.encode(), hashlib.sha256).hexdigest()[:32]
        raise AssertionError(self.mask)
