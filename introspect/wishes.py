"""What was typed in, what is wished out: checked, and with what was wished the last time."""

from collections.abc import Sequence
from pathlib import PurePath
from urllib.parse import unquote, urlsplit

from auth.groups import NAMES, registered
from auth.mistake import Mistake, unknown
from introspect.names import snake, words
from introspect.subjects import wanted
from introspect.words import Reading, Table, Wish

READS = ("only", "given", "base_url", "header", "host", "private")
"""What is typed in of it."""

UNREADABLE = "the URL cannot be read: in user and password `/` is written `%2F`, `@` `%40`, `:` `%3A`, `#` `%23`"


def named(source: str | None, url: str) -> str:
    """The name of a source: as given, or that of its database."""
    if source is None:
        return snake(words(PurePath(unquote(_path(url))).stem))
    if source != snake(words(source)):
        raise Mistake(f"a source is named in snake_case: take `{snake(words(source))}`")
    return source


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        raise Mistake(UNREADABLE) from None


def wish(
    before: Wish,
    source: str,
    found: Sequence[Table],
    *,
    allow: Sequence[str],
    owner: str | None,
    tables: Sequence[str],
    keys: Sequence[str],
    strip: str | None,
    reading: Reading | None = None,
) -> Wish:
    """Raises Mistake for a group nobody registered, for a key that is none, and where no table is left."""
    for each in allow:
        if not registered(each):
            raise unknown("group", each, NAMES)
    read = reading or Reading()
    made = Wish(
        source=source,
        allow=tuple(dict.fromkeys(allow)) or before.allow,
        owner=owner or before.owner,
        tables=tuple(tables) or before.tables,
        keys={**before.keys, **dict(_key(each, {one.name: one for one in found}) for each in keys)},
        strip=before.strip if strip is None else strip,
        only=read.only,
        given=read.given,
        base_url=read.base_url,
        headers=read.headers,
    )
    if not wanted(found, made):
        raise Mistake("there is no table to write: see to `--tables`, and to what the user of the URL may see")
    return made


def read_as(before: Wish, *, only: Sequence[str], given: Sequence[str], base_url: str | None, header: Sequence[str],
            host: Sequence[str], private: bool) -> Reading:  # fmt: skip
    """As it was wished, or else as the last time; but hosts are listed each time anew."""
    return Reading(
        only=tuple(only) or before.only,
        given={**before.given, **dict(map(_given, given))},
        base_url=base_url or before.base_url,
        headers=tuple(header) or before.headers,
        hosts=tuple(each.lower() for each in host),
        private_addresses=private,
    )


def _given(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        raise Mistake(f"`{text}` is no constant: write `--given parameter=value`")
    return name, value


def _key(text: str, tables: dict[str, Table]) -> tuple[str, tuple[str, ...]]:
    name, _, listed = text.partition("=")
    columns = tuple(listed.split(","))
    if name not in tables:
        raise unknown("table", name, tables)
    for each in columns:
        if each not in (known := [column.name for column in tables[name].columns]):
            raise unknown(f"column of `{name}`", each, known)
    return name, columns
