"""Options in, a source that lists one bucket's objects and reads them out; a pattern in keys gives further columns."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial
from itertools import takewhile
from typing import Any, TypeAlias, TypeVar

from engine.change.addresses import Address, Upload
from engine.change.words import Change, Made, Unmade, Values, Writes
from engine.errors import SourceFailed
from engine.words import Ask, Can, Column, Kind, Row
from sources.aws import GONE, client, failed
from sources.content import s3 as content
from sources.content.content import CANS, READ_BYTES
from sources.content.content import read as inside
from sources.content.media import media_type
from sources.content.words import Stat
from sources.fan_out import fan_out
from sources.patterns import Pattern, compile_pattern
from sources.threads import in_thread, shut, threads
from sources.writing import change as changing
from sources.writing.s3 import Bucket
from sources.writing.uploads import awaited, before
from sources.writing.wishes import wished
from sources.writing.words import WRITES, Filed, Outrun, Writing, prefixes

KEYS = 50
KEY_BYTES = 1024
"""The longest key S3 takes."""
OBJECT: Mapping[str, tuple[Kind, Callable[[Mapping[str, Any]], Any]]] = {
    "id": (Kind.TEXT, lambda listed: listed["Key"]),
    "path": (Kind.TEXT, lambda listed: listed["Key"]),
    "name": (Kind.TEXT, lambda listed: listed["Key"].rpartition("/")[2]),
    "size": (Kind.INTEGER, lambda listed: listed["Size"]),
    "content_type": (Kind.TEXT, lambda listed: media_type(listed["Key"].rpartition("/")[2])),
    "modified": (Kind.TIME, lambda listed: listed["LastModified"].astimezone(UTC)),
    "version": (Kind.TEXT, lambda listed: listed["ETag"].strip('"')),
}
"""The columns every object has; a pattern's column of the same name gives way."""
Listing: TypeAlias = Iterable[Mapping[str, Any]]
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`timeout`: seconds of one call's connect, and of each wait for its bytes. `connections`: calls at once.

    `read_bytes`: the most that is read of one object for its rows. `writable`: objects may be put, copied and deleted,
    below the folders of `writable_below` alone where there are any.
    """

    bucket: str
    pattern: str
    access_key: str
    secret_key: str = field(repr=False)
    endpoint: str | None = None
    region: str = "us-east-1"
    timeout: float = 5.0
    connections: int = 8
    read_bytes: int = READ_BYTES
    writable: bool = False
    writable_below: tuple[str, ...] = ()


async def connect(options: Options) -> "S3":
    """Asks the bucket nothing yet. ValueError: the pattern is none."""
    return S3(options, compile_pattern(options.pattern))


class S3:
    """The collection `files`: one row for each object of the bucket."""

    def __init__(self, options: Options, pattern: Pattern) -> None:
        self.options = options
        self.pattern = pattern
        self.files = promise(pattern)
        self.calls = threads(options.connections, "s3")
        self.client = client(
            access_key=options.access_key,
            secret_key=options.secret_key,
            endpoint=options.endpoint,
            region=options.region,
            timeout=options.timeout,
            connections=options.connections,
        )
        self.writing = Writing(writable=options.writable, below=prefixes(options.writable_below))
        self.bucket = Bucket(self.client, options.bucket, self.tried, self.whole)

    def can(self, collection: str) -> Can:
        return {"files": self.files, **CANS}[collection]

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        """Pages as they come; for keys, a batch for each key."""
        if ask.collection in CANS:
            async for rows in inside(self, ask, self.options.read_bytes):
                yield rows
            return
        if ask.keys is None:
            async for page in self.pages(""):
                yield [self.row(listed, ask.columns) for listed in page]
            return
        look_up = partial(self.look_up, ask, ask.keys.columns)
        for rows in await fan_out(look_up, ask.keys.values, self.options.connections):
            yield rows

    async def look_up(self, ask: Ask, columns: tuple[str, ...], key: Row) -> list[Row]:
        """The rows of one key: of those that share its prefix, the ones that have its values."""
        prefix = key[0] if columns == ("id",) else self.pattern.prefix(dict(zip(columns, key, strict=True)))
        if not listable(prefix):
            return []
        pages = self.first_page(prefix) if columns == ("id",) else self.pages(prefix)
        return [
            self.row(listed, ask.columns) async for page in pages for listed in page if self.row(listed, columns) == key
        ]

    async def first_page(self, prefix: str) -> AsyncIterator[Listing]:
        """Of all keys that start with a key, it itself comes first."""
        yield (await self.call(Prefix=prefix, MaxKeys=1)).get("Contents", ())

    async def pages(self, prefix: str) -> AsyncIterator[Listing]:
        more: Mapping[str, str] = {}
        while True:
            answer = await self.call(Prefix=prefix, **more)
            yield answer.get("Contents", ())
            if not answer.get("IsTruncated"):
                return
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    async def call(self, **arguments: Any) -> Mapping[str, Any]:
        listing = partial(self.client.list_objects_v2, Bucket=self.options.bucket, **arguments)
        return await self.tried(lambda: checked(listing()))

    async def tried(self, call: Callable[[], Answer]) -> Answer:
        """Raises SourceFailed, and nothing else."""
        try:
            return await in_thread(self.calls, call)
        except (Unmade, Outrun):
            raise
        except Exception as error:
            raise failed(error, self.options.timeout) from error

    def writes(self, collection: str) -> Writes | None:
        return WRITES if collection == "files" and self.writing.writable else None

    async def write(self, changes: Sequence[Change], *, dry: bool = False) -> Sequence[Made]:
        return await changing.written(self.bucket, self.wished(changing.single(changes)), dry=dry)

    async def made(self, change: Change) -> Made | None:
        return await changing.made(self.bucket, change, self.wished)

    async def upload_address(self, upload: Upload) -> Address | None:
        filed = awaited(upload, self.wished)
        stood = await before(self.bucket, filed)
        return await self.bucket.address(filed, stood, upload.size, upload.seconds)

    async def stat(self, id: str) -> Stat | None:
        if not known(id):
            return None
        return await self.tried(partial(content.stat, self.client, self.options.bucket, id))

    async def octets(self, id: str, start: int, length: int) -> bytes:
        if not known(id):
            raise SourceFailed(GONE)
        span = (start, length)
        return await self.tried(partial(content.octets, self.client, self.options.bucket, id, span))

    async def download_url(self, id: str, seconds: int) -> str | None:
        """Signed here, without a call."""
        if not known(id):
            return None
        return await self.tried(partial(content.download_url, self.client, self.options.bucket, id, seconds))

    def row(self, listed: Mapping[str, Any], columns: Sequence[str]) -> Row:
        values = self.pattern.match(listed["Key"]) or {}
        return tuple(OBJECT[name][1](listed) if name in OBJECT else values.get(name) for name in columns)

    def wished(self, change: Change) -> Filed:
        return wished(change, self.writing, self.pattern)

    def whole(self, listed: Mapping[str, Any]) -> Values:
        return dict(zip(self.files.columns, self.row(listed, tuple(self.files.columns)), strict=True))

    async def ping(self) -> None:
        await self.call(MaxKeys=1)

    async def close(self) -> None:
        shut(self.calls)
        self.client.close()


def promise(pattern: Pattern) -> Can:
    """Keys alone: the pattern's columns from its first on, as far as a prefix follows from them, or whole keys."""
    own = {name: Column(kind=kind) for name, (kind, _) in OBJECT.items()}
    further = {name: Column(kind=kind) for name, kind in pattern.columns.items()}
    return Can(columns={**further, **own}, keys=KEYS, key_columns=frozenset({("id",), *leading(pattern)}))


def leading(pattern: Pattern) -> Iterator[tuple[str, ...]]:
    names = tuple(takewhile(lambda name: name not in OBJECT, pattern.columns))
    return (names[: count + 1] for count in range(len(names)))


def checked(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Botocore takes any XML for a listing, an empty one; S3 always says whether there is more."""
    if "IsTruncated" not in answer:
        raise ValueError("no listing")
    return answer


def known(id: str) -> bool:
    """Whether some object could have this key; with an empty one, the bucket itself would be asked for."""
    return id != "" and listable(id)


def listable(prefix: str) -> bool:
    """No object's key starts with any other text: S3 keys are UTF-8, of a limited length."""
    try:
        return len(prefix.encode()) <= KEY_BYTES
    except UnicodeEncodeError:
        return False
