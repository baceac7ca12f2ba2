"""An upload that somebody wishes to make in, where to send it out: to the store itself, one file, for minutes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from engine.change.words import Values
from engine.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One file to come. `change`: an id of its own, kept with the file as that of any change is."""

    change: str
    collection: str
    key: Values
    size: int
    """Bytes, exactly."""
    content_type: str
    seconds: int
    """How long the address is to be good for; the source may give less."""
    replace: bool = False
    """It may be there already; else the store refuses to write over a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call to make, in plain HTTP, in the order of the steps: octets `first` to `first + length` are its body."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str]
    first: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Opens one file to whoever holds it, and nothing else."""

    id: str | None
    """The file's, None where its store gives it one only then."""
    steps: tuple[Step, ...]
    expires: datetime
    bounded: bool
    """The store itself refuses another size or type; else they are what was asked for, and no more."""


@runtime_checkable
class Addresses(Source, Protocol):
    """A source that can be uploaded to past us."""

    async def upload_address(self, upload: Upload) -> Address | None:
        """None: it has none to give. Raises Unmade: what is asked for cannot be; SourceFailed."""
        ...
