"""An Ask in, the text of its statement, compiled once for its shape, and this ask's values out; and rows read back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy.engine.interfaces import Dialect as Compiler

from engine.errors import Code, SourceFailed
from engine.words import Ask, Row
from sources.sql.columns import Convert, Stock
from sources.sql.groups import grouped
from sources.sql.shape import Shape, results, shaped
from sources.sql.statement import Dialect, statement

SHAPES = 2000
"""How many are kept; the one that was made first gives way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """`order`: this ask's values as the statement's marks want them. `decodes`: by place in a row, where needed."""

    text: str
    order: Callable[[Sequence[Any]], Sequence[Any]]
    decodes: tuple[tuple[int, Convert], ...]
    empty: bool
    """Rows without a value are asked for."""

    def rows(self, found: Sequence[Sequence[Any]]) -> list[Row]:
        """Raises SourceFailed when a value is none that its column's kind can have."""
        if self.empty:
            return [()] * len(found)
        if not self.decodes or not found:
            # A slice is the fastest way from a record of asyncpg to a tuple; of a tuple it is the tuple itself.
            return [row[:] for row in found]  # type: ignore[misc]
        columns: list[Sequence[Any]] = list(zip(*found, strict=True))
        try:
            for at, convert in self.decodes:
                columns[at] = [None if value is None else convert(value) for value in columns[at]]
        except (ValueError, TypeError, ArithmeticError):
            raise unreadable() from None
        return list(zip(*columns, strict=True))


class Statements:
    """Those of one database, by shape."""

    def __init__(self, tables: Mapping[str, Stock], dialect: Dialect, compiler: Compiler) -> None:
        self.tables = tables
        self.dialect = dialect
        self.compiler = compiler
        self.known: dict[Shape, Compiled] = {}

    def of(self, ask: Ask) -> tuple[Compiled, Sequence[Any]]:
        shape, values = shaped(ask, self.tables, self.dialect.binding)
        found = self.known.get(shape) or self._kept(shape)
        return found, found.order(values)

    def _kept(self, shape: Shape) -> Compiled:
        if len(self.known) >= SHAPES:
            del self.known[next(iter(self.known))]
        made = self.known[shape] = compiled(shape, self.tables, self.dialect, self.compiler)
        return made


def compiled(shape: Shape, tables: Mapping[str, Stock], dialect: Dialect, compiler: Compiler) -> Compiled:
    made = (grouped if shape.measures else statement)(shape, tables, dialect).compile(dialect=compiler)
    columns = tables[shape.collection].columns
    read = results(shape.columns, shape.measures, columns, dialect.binding)
    return Compiled(
        text=str(made),
        order=ordering(made),
        decodes=tuple((at, each.decode) for at, (_, each) in enumerate(read) if each.decode is not None),
        empty=not read,
    )


def ordering(made: Any) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """From values by slot to values by mark; what the statement itself binds is put in."""
    names = tuple(made.positiontup or ())
    fixed = [made.binds[name].value for name in names if not name[1:].isdecimal()]
    counted = iter(range(-len(fixed), 0))
    places = [int(name[1:]) if name[1:].isdecimal() else next(counted) for name in names]
    pick = itemgetter(*places) if len(places) > 1 else lambda values: tuple([values[at] for at in places])
    return (lambda values: pick((*values, *fixed))) if fixed else pick


def unreadable() -> SourceFailed:
    return SourceFailed("the database gave an answer that cannot be read", Code.SOURCE_INVALID)
