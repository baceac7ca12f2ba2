"""Draw tables whose columns have the types and values that databases really have."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.properties.foreign.columns import TYPES, ColumnType, Value

COLUMNS = ("a", "b")
ROWS = (3, 7)
NULL_SHARE = 0.15
TRIES = 40


@dataclass(frozen=True, slots=True)
class Table:
    """A key, the number of each row, and two columns more; each row is known by its number, whatever is shown of it."""

    name: str
    types: tuple[ColumnType, ...]
    """Of the key and of each of `COLUMNS`."""
    rows: Sequence[tuple[Value, ...]]

    @property
    def columns(self) -> tuple[str, ...]:
        return ("k", *COLUMNS)

    def write_statements(self) -> Iterator[str]:
        """Write the SQL that makes and fills the table."""
        key, *others = (f"{name} {declare(type, name)}" for name, type in zip(self.columns, self.types, strict=True))
        declared = ", ".join([f"{key} NOT NULL", "n integer NOT NULL", *others, "PRIMARY KEY (k)"])
        yield f"CREATE TABLE {self.name} ({declared})"
        for number, (key_value, *values) in enumerate(self.rows):
            literals = ", ".join([key_value[0], str(number), *(literal for literal, _ in values)])
            yield f"INSERT INTO {self.name} VALUES ({literals})"

    def describe(self) -> str:
        return "; ".join(self.write_statements())


def declare(type: ColumnType, name: str) -> str:
    return type.sql.replace("{column}", name)


def draw_tables(database: str, seed: int, count: int) -> Sequence[Table]:
    """Draw this many tables: each type is the key's and a column's in turn, its values are drawn."""
    draw = random.Random(f"{database}:{seed}")
    types = TYPES[database]
    keys = [type for type in types if type.is_key]
    draw.shuffle(keys)
    columns = [type for _ in range(2 * count // len(types) + 2) for type in draw.sample(types, len(types))]
    return [
        _draw_table(
            draw, f"probe{_letters(number)}n", (keys[number % len(keys)], *columns[2 * number : 2 * number + 2])
        )
        for number in range(count)
    ]


def _letters(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in f"{number:02}")


def _draw_table(draw: random.Random, name: str, types: tuple[ColumnType, ...]) -> Table:
    key_type, *column_types = types
    keys = draw.sample(list(key_type.values), min(len(key_type.values), draw.randint(*ROWS)))
    rows = [(key, *(_draw_value(draw, type) for type in column_types)) for key in keys]
    return Table(name, types, rows)


def _draw_value(draw: random.Random, type: ColumnType) -> tuple[str, Any]:
    return ("NULL", None) if draw.random() < NULL_SHARE else draw.choice(list(type.values))
