"""What is described, whatever it is kept in: tables with their columns and references; and what is wished of the files.

Nothing here is SQL: a description of anything that has rows can be said in these words.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.words import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column a field can show. `values` are all it can hold, where that is declared; `enum` is their own name."""

    name: str
    kind: Kind
    nullable: bool
    large: bool = False
    """Whole numbers past 32 bits."""
    comment: str = ""
    values: tuple[str, ...] = ()
    enum: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The row of the table `to` whose columns `there` equal our `columns`; `alone`: no two rows refer to the same."""

    columns: tuple[str, ...]
    to: str
    there: tuple[str, ...]
    alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One kind of row; `name` is that of its collection. Without a `key` nothing is known to identify a row."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    comment: str = ""
    view: bool = False
    needs: tuple[str, ...] = ()
    """Columns whose values every read must know, so that its rows are reached by links alone."""
    declared: str = ""
    """The collection as the settings of its source have it, where these say what a source has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a description of an API is read: which of its operations, and what it does not say itself.

    `only` are tags and patterns of paths, `given` are constants for parameters of paths. `hosts` are those it may be
    read from and say that its API is at.
    """

    only: tuple[str, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)
    base_url: str = ""
    headers: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    private_addresses: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """Tables, the settings of the source that has them, and what there is to say of how they were found."""

    tables: tuple[Table, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How the files are to be: their source, who may see its types, who answers for them.

    `tables` are patterns of the names that are wanted (none: all), `keys` says what identifies rows where the
    description does not, `strip` is left out where a table's name begins with it. The rest is of a description of an
    API, as in Reading.
    """

    source: str
    allow: tuple[str, ...] = ()
    owner: str = ""
    tables: tuple[str, ...] = ()
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    strip: str = ""
    only: tuple[str, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)
    base_url: str = ""
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Names that are already somebody else's: of types, of root fields, of files."""

    types: frozenset[str] = frozenset()
    roots: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
