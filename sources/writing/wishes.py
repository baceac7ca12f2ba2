"""A change in, what it wishes for of one file out, or Unmade with what is wrong about it: no store is called here."""

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from typing import Any

from engine.change.words import Change, Unmade, Values, Verb
from engine.errors import Code
from sources.content.words import FILES
from sources.patterns import Pattern
from sources.writing.marks import mark
from sources.writing.names import below, refusal
from sources.writing.words import CONTENT_BYTES, GIVEN, WRITES, Filed, Writing

TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,80}(?:; ?charset=[a-z0-9-]{1,20})?")
SOURCES = ("content", "text", "copy_of")


def wished(change: Change, writing: Writing, pattern: Pattern | None) -> Filed:
    """Of a store whose files are known by their paths. Raises Unmade."""
    allowed(change, writing)
    path = named(change.key, pattern)
    placed(path, writing)
    return filed(change, path)


def allowed(change: Change, writing: Writing) -> None:
    if change.collection != FILES or not writing.writable:
        raise Unmade("the settings let nothing be written there", Code.CANNOT_ANSWER)
    if change.verb not in WRITES.verbs or not change.values.keys() <= WRITES.verbs[change.verb]:
        raise Unmade("a file is put, copied or deleted, and takes " + ", ".join(f"`{each}`" for each in sorted(GIVEN)))


def placed(path: str, writing: Writing) -> None:
    why = refusal(path)
    if why is not None:
        raise Unmade(why)
    if not below(path, writing.below):
        raise Unmade("`path` must be below " + " or ".join(f"`{each}`" for each in writing.below))


def named(key: Values, pattern: Pattern | None) -> str:
    """By `id` or `path`, by all columns of the pattern, or by several of these that say the same."""
    given = {name: value for name, value in key.items() if value is not None}
    columns = {} if pattern is None else pattern.columns
    unknown = given.keys() - {"id", "path", *columns}
    if unknown:
        raise Unmade(f"a file is not named by `{min(unknown)}`")
    whole = pattern is not None and columns.keys() <= given.keys()
    paths = {given[name] for name in ("id", "path") if name in given} or ({pattern.prefix(given)} if whole else set())  # type: ignore[union-attr]
    if len(paths) != 1 or not isinstance(path := paths.pop(), str):
        raise Unmade("give a file's `path`, or every part that it is made of")
    if not said_by(path, {name: given[name] for name in columns if name in given}, pattern):
        raise Unmade("`path` does not say what the other parts of the key say")
    return path


def said_by(path: str, parts: Mapping[str, Any], pattern: Pattern | None) -> bool:
    found = {} if pattern is None else pattern.match(path) or {}
    return all(found.get(name) == value for name, value in parts.items())


def filed(change: Change, id: str) -> Filed:
    values = {name: value for name, value in change.values.items() if value is not None}
    copy_of = values.get("copy_of")
    return Filed(
        id=id,
        verb=change.verb,
        change=mark(change.id),
        octets=octets(change.verb, values),
        copy_of=None if copy_of is None else source(copy_of, id),
        content_type=media(values.get("content_type")),
        version=change.version,
    )


def octets(verb: Verb, values: Values) -> bytes | None:
    given = [name for name in SOURCES if name in values]
    if verb is Verb.DELETE:
        return None
    if len(given) != 1 or not isinstance(values[given[0]], str):
        raise Unmade("give one of " + ", ".join(f"`{each}`" for each in SOURCES))
    if given[0] == "copy_of":
        return None
    found = encoded(values["text"]) if "text" in values else decoded(values["content"])
    if len(found) > CONTENT_BYTES:
        raise Unmade(
            f"content is over the limit of {CONTENT_BYTES} bytes, ask for an address to upload to", Code.LIMIT_EXCEEDED
        )
    return found


def encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Unmade("`text` holds half of a character") from None


def decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (NotBase64, ValueError):
        raise Unmade("`content` must be base64") from None


def source(id: str, to: str) -> str:
    why = refusal(id, "copy_of")
    if why is not None:
        raise Unmade(why)
    if id == to:
        raise Unmade("`copy_of` must be another file")
    return id


def media(given: Any) -> str | None:
    if given is not None and not (isinstance(given, str) and TYPE.fullmatch(given)):
        raise Unmade("`content_type` must be a media type in small letters, such as `text/csv`")
    return given
