"""The id of a changed row in, its key as links compare it out; and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.binding import Binding
from engine.names import ID, NoSuchId, columns_of, id_reader, written
from engine.words import Can, Kind, Row

ROW = "row_"
"""What the columns of a changed row's key are called in the history: `row_id`."""


def shown_by(binding: Binding) -> tuple[str, ...]:
    """The columns that a row is linked by: those of its id, without what is the same in all rows."""
    return tuple(each for each in columns_of(binding, ID) if each not in binding.constants)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowKey:
    """Of one type."""

    can: Can
    columns: tuple[str, ...]
    """What an id is written from."""
    fixed: Mapping[str, Any]

    @property
    def linked(self) -> Mapping[str, Kind]:
        """The columns of the history that links compare, by the names they have there."""
        return {ROW + each: self.can.columns[each].kind for each in self.columns if each not in self.fixed}

    def values(self, id: str) -> Mapping[str, Any]:
        """None of each, where the text is the id of no row."""
        try:
            found = dict(zip(self.columns, id_reader(self.can, self.columns)(id), strict=True))
        except NoSuchId:
            return dict.fromkeys(self.linked)
        return {name: found[name.removeprefix(ROW)] for name in self.linked}

    def id(self, key: Row) -> str:
        """Of the values of `linked`, in that order."""
        given = dict(zip(self.linked, key, strict=True))
        return written(tuple(self.fixed[each] if each in self.fixed else given[ROW + each] for each in self.columns))
