"""Named types: what the two files of a table say, before it is text."""

from collections.abc import Mapping
from dataclasses import dataclass

from introspect.names import Words
from introspect.words import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Titled:
    """What a table is called as a type, as root fields and as a file."""

    words: Words
    type: str
    one: Words
    many: Words
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enumeration:
    """The values of one or more columns; it stands in the file of the first table that uses it."""

    type: str
    values: tuple[str, ...]
    description: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A value of a row. `annotation` is as Python reads it; `column` is empty for the id, which is the key's."""

    words: Words
    annotation: str
    description: str
    column: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A link: `leads` is `One` or `Many`."""

    words: Words
    leads: str
    to: str
    here: tuple[str, ...]
    there: tuple[str, ...]
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One table with all its names. `files` says where the types and enums are that it speaks of."""

    table: Table
    title: Titled
    key: tuple[str, ...]
    fields: tuple[Field, ...]
    ways: tuple[Way, ...]
    enums: tuple[Enumeration, ...]
    files: Mapping[str, str]
