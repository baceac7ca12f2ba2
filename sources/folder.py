"""Options in, a source that lists the files of one folder and reads them out; a pattern in paths gives more columns.

Nothing outside of the folder is opened, and no link is followed.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, TypeVar

from engine.change.addresses import Address, Upload
from engine.change.words import Change, Made, Unmade, Values, Writes
from engine.errors import SourceFailed
from engine.words import Ask, Can, Column, Kind, Row
from sources.content import disk
from sources.content.content import CANS, READ_BYTES
from sources.content.content import read as inside
from sources.content.disk import Found
from sources.content.media import media_type
from sources.content.words import Stat
from sources.fan_out import fan_out
from sources.patterns import Pattern, compile_pattern
from sources.threads import in_thread, shut, threads
from sources.writing import change as changing
from sources.writing import disk as writing
from sources.writing.wishes import wished
from sources.writing.words import WRITES, Filed, Mark, Outrun, Standing, Writing, by_path, prefixes

KEYS = 50
BATCH = 500
"""Files looked at between two looks at whether anybody still waits."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
GONE = "the folder has no such file"
Answer = TypeVar("Answer")

FILES: Mapping[str, tuple[Kind, Callable[[str, os.stat_result], Any]]] = {
    "id": (Kind.TEXT, lambda path, found: path),
    "path": (Kind.TEXT, lambda path, found: path),
    "name": (Kind.TEXT, lambda path, found: path.rpartition("/")[2]),
    "size": (Kind.INTEGER, lambda path, found: found.st_size),
    "content_type": (Kind.TEXT, lambda path, found: media_type(path.rpartition("/")[2])),
    "modified": (Kind.TIME, lambda path, found: moment(found.st_mtime_ns)),
    "version": (Kind.TEXT, lambda path, found: f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"),
}
"""The columns every file has; a pattern's column of the same name gives way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`connections`: how many calls read the disk at once.

    `read_bytes`: the most that is read of one file for its rows. `writable`: files may be put, copied and deleted,
    below the folders of `writable_below` alone where there are any.
    """

    path: Path
    pattern: str
    connections: int = 4
    read_bytes: int = READ_BYTES
    writable: bool = False
    writable_below: tuple[str, ...] = ()


async def connect(options: Options) -> "Folder":
    """ValueError: the pattern is none, or there is no such folder, or it cannot be written to as it is to be."""
    if not options.path.is_dir():
        raise ValueError("`path` is no folder")
    if options.writable and not writing.keeps_marks(options.path):
        raise ValueError("`writable` needs a `path` that may be written to, whose file system keeps attributes")
    return Folder(options, compile_pattern(options.pattern))


class Folder:
    """The collection `files`: one row for each file of the folder and of those in it."""

    def __init__(self, options: Options, pattern: Pattern) -> None:
        self.options = options
        self.pattern = pattern
        self.files = promise(pattern)
        self.calls = threads(options.connections, "folder")
        self.writing = Writing(writable=options.writable, below=prefixes(options.writable_below))

    def can(self, collection: str) -> Can:
        return {"files": self.files, **CANS}[collection]

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        """Batches as they are found; for keys, a batch for each key."""
        if ask.collection in CANS:
            async for rows in inside(self, ask, self.options.read_bytes):
                yield rows
            return
        if ask.keys is None:
            async for batch in self.batches(""):
                yield [self.row(each, ask.columns) for each in batch]
            return
        look_up = partial(self.look_up, ask, ask.keys.columns)
        for rows in await fan_out(look_up, ask.keys.values, self.options.connections):
            yield rows

    async def look_up(self, ask: Ask, columns: tuple[str, ...], key: Row) -> list[Row]:
        """The rows of one key: of those below the folder that its values name, the ones that have them."""
        if columns == ("id",):
            found = await self.tried(partial(disk.standing, self.options.path, key[0]))
            return [] if found is None else [self.row((key[0], found), ask.columns)]
        below = self.pattern.prefix(dict(zip(columns, key, strict=True))).rpartition("/")[0]
        rows = [each async for batch in self.batches(below) for each in batch]
        return [self.row(each, ask.columns) for each in rows if self.row(each, columns) == key]

    async def batches(self, below: str) -> AsyncIterator[Sequence[Found]]:
        walk = disk.walked(self.options.path, below)
        while batch := await self.tried(lambda: list(islice(walk, BATCH))):
            yield batch

    def row(self, file: Found, columns: Sequence[str]) -> Row:
        values = self.pattern.match(file[0]) or {}
        return tuple(FILES[name][1](*file) if name in FILES else values.get(name) for name in columns)

    async def stat(self, id: str) -> Stat | None:
        found = await self.tried(partial(disk.standing, self.options.path, id))
        names = ("id", "name", "size", "content_type", "modified", "version")
        return None if found is None else Stat(**{name: FILES[name][1](id, found) for name in names})

    async def octets(self, id: str, start: int, length: int) -> bytes:
        found = await self.tried(partial(disk.octets, self.options.path, id, (start, length)))
        if found is None:
            raise SourceFailed(GONE)
        return found

    async def download_url(self, id: str, seconds: int) -> str | None:
        """A file on a disk has no address that others could open."""
        return None

    def writes(self, collection: str) -> Writes | None:
        return WRITES if collection == "files" and self.writing.writable else None

    async def write(self, changes: Sequence[Change], *, dry: bool = False) -> Sequence[Made]:
        return await changing.written(self, self.wished(changing.single(changes)), dry=dry)

    async def made(self, change: Change) -> Made | None:
        found = await changing.made(self, change, self.wished)
        if found is None:
            with suppress(Unmade):
                await self.tried(partial(writing.settled, self.options.path, self.wished(change)))
        return found

    async def upload_address(self, upload: Upload) -> Address | None:
        """As of `download_url`."""
        return None

    async def standing(self, id: str) -> Standing | None:
        return await self.tried(partial(writing.standing, self.options.path, id, self.stands))

    async def placed(self, filed: Filed, before: Standing | None) -> Values:
        place = partial(writing.placed, self.options.path, filed, before, self.stands)
        return (await self.tried(place)).values

    async def removed(self, filed: Filed, before: Standing) -> None:
        await self.tried(partial(writing.removed, self.options.path, filed, before, self.stands))

    def known(self, filed: Filed) -> Values:
        return by_path(filed)

    def wished(self, change: Change) -> Filed:
        return wished(change, self.writing, self.pattern)

    def stands(self, path: str, found: os.stat_result, marks: tuple[Mark, ...]) -> Standing:
        columns = tuple(self.files.columns)
        return Standing(values=dict(zip(columns, self.row((path, found), columns), strict=True)), marks=marks)

    async def tried(self, call: Callable[[], Answer]) -> Answer:
        """Raises SourceFailed, and nothing else; what the machine says names paths, so none of it is passed on."""
        try:
            return await in_thread(self.calls, call)
        except (Unmade, Outrun):
            raise
        except PermissionError as error:
            raise SourceFailed("the folder may not be read in part") from error
        except OSError as error:
            raise SourceFailed("the folder could not be read") from error

    async def ping(self) -> None:
        await self.tried(lambda: os.close(os.open(self.options.path, os.O_RDONLY | os.O_DIRECTORY)))

    async def close(self) -> None:
        shut(self.calls)


def promise(pattern: Pattern) -> Can:
    """Keys alone: whole paths, or the pattern's columns from its first on, as far as a folder follows from them."""
    own = {name: Column(kind=kind) for name, (kind, _) in FILES.items()}
    further = {name: Column(kind=kind) for name, kind in pattern.columns.items()}
    names = tuple(takewhile(lambda name: name not in FILES, pattern.columns))
    leading = (names[: count + 1] for count in range(len(names)))
    return Can(columns={**further, **own}, keys=KEYS, key_columns=frozenset({("id",), *leading}))


def moment(nanoseconds: int) -> datetime:
    """A clock that was wrong may have left any time; what Python cannot hold is its last."""
    try:
        return EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)
