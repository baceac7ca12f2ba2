"""Its query and field-mask languages."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from demo.data.files import Document, shares
from demo.servers.drive.store import Failure, Seen, Spec, not_found, schema

Finds: TypeAlias = Callable[[Document], bool]

WORD = re.compile(r"""\s*(?:(?P<text>'(?:[^'\\]|\\.)*')|(?P<sign>!=|<=|>=|[=<>(){}])|(?P<word>[A-Za-z]+))""", re.DOTALL)

SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


def search(text: str, seen: Seen) -> Finds:
    """Raises Failure where Drive would: what it cannot read, and a folder that the asker does not see."""
    words = cut(text)
    finds, rest = joined(words, seen)
    if rest:
        raise invalid()
    return finds


def cut(text: str) -> list[str]:
    words, at = [], 0
    while at < len(text.rstrip()):
        found = WORD.match(text, at)
        if found is None:
            raise invalid()
        words.append(found[0].strip())
        at = found.end()
    return words


def joined(words: list[str], seen: Seen) -> tuple[Finds, list[str]]:
    finds, words = single(words, seen)
    while words[:1] in (["and"], ["or"]):
        joins = all if words[0] == "and" else any
        other, words = single(words[1:], seen)
        finds = pair(joins, finds, other)
    return finds, words


def pair(joins: Callable[[Any], bool], one: Finds, other: Finds) -> Finds:
    return lambda document: joins(finds(document) for finds in (one, other))


def single(words: list[str], seen: Seen) -> tuple[Finds, list[str]]:
    if words[:1] == ["not"]:
        finds, rest = single(words[1:], seen)
        return lambda document: not finds(document), rest
    if words[:1] == ["("]:
        finds, rest = joined(words[1:], seen)
        if rest[:1] != [")"]:
            raise invalid()
        return finds, rest[1:]
    if words[:2] == ["appProperties", "has"]:
        return held(words)
    if len(words) < 3:
        raise invalid()
    one, sign, other, *rest = words
    return term(one, sign, other, seen), rest


def held(words: list[str]) -> tuple[Finds, list[str]]:
    """As `appProperties has { key='a' and value='b' }`."""
    match words:
        case ["appProperties", "has", "{", "key", "=", key, "and", "value", "=", value, "}", *rest]:
            name, wanted = opened(key), opened(value)
            return lambda document: document.properties.get(name) == wanted, rest
    raise invalid()


def term(one: str, sign: str, other: str, seen: Seen) -> Finds:
    if sign == "in" and other in WITHIN:
        return WITHIN[other](opened(one), seen)
    if (one, sign) not in TERMS:
        raise invalid()
    return TERMS[one, sign](other)


def opened(word: str) -> str:
    """What stands between the quotes."""
    if not word.startswith("'"):
        raise invalid()
    return re.sub(r"\\(.)", r"\1", word[1:-1], flags=re.DOTALL)


def in_parents(id: str, seen: Seen) -> Finds:
    """Of a folder it does not know Drive says so, and finds nothing."""
    wanted = seen.root if id == "root" else id
    if not seen.knows(wanted):
        raise not_found("")
    return lambda document: document.parent == wanted


def in_owners(address: str, seen: Seen) -> Finds:
    return lambda document: document.owner is not None and document.owner.lower() == addressed(address).lower()


def holding(*roles: str) -> Callable[[str, Seen], Finds]:
    def within(address: str, seen: Seen) -> Finds:
        def finds(document: Document) -> bool:
            given = shares(document, seen.documents)
            return any(each.to == addressed(address) and each.role in roles for each in given)

        return finds

    return within


def addressed(text: str) -> str:
    if "@" not in text:
        raise invalid()
    return text


def named(compare: Callable[[str, str], bool]) -> Callable[[str], Finds]:
    def finds(word: str) -> Finds:
        wanted = opened(word).lower()
        return lambda document: compare(document.name.lower(), wanted)

    return finds


def begins_a_word(text: str, wanted: str) -> bool:
    """Drive's `contains` of a name: it looks at how its words begin."""
    return any(part.startswith(wanted) for part in (text[at:] for at in starts(text)))


def starts(text: str) -> list[int]:
    return [found.start() for found in re.finditer(r"(?<!\w)\w", text)]


def typed(compare: Callable[[str, str], bool]) -> Callable[[str], Finds]:
    def finds(word: str) -> Finds:
        wanted = opened(word)
        return lambda document: compare(document.content_type, wanted)

    return finds


def says(word: str) -> Finds:
    """Whole words, all of them, in the name or in text; between double quotes, one after the other."""
    wanted = phrases(opened(word))
    return lambda document: bool(wanted) and all(times(document, each) for each in wanted)


def phrases(text: str) -> list[list[str]]:
    """A word stands alone; letters and digits are all that counts."""
    quoted = text.split('"')
    found = [[each] for part in quoted[::2] for each in words_of(part)] + list(map(words_of, quoted[1::2]))
    return [each for each in found if each]


def words_of(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def times(document: Document, phrase: list[str]) -> int:
    """How often it stands there; in the name it counts ten times."""
    return 10 * count(words_of(document.name), phrase) + count(words_of(told(document)), phrase)


def count(words: list[str], phrase: list[str]) -> int:
    return sum(words[at : at + len(phrase)] == phrase for at in range(len(words)))


def told(document: Document) -> str:
    readable = not document.content_type.startswith(("application/pdf", "image/"))
    return document.body.decode("utf-8", "replace") if readable else ""


def relevance(text: str) -> Callable[[Document], int] | None:
    """By what files are sorted where they are searched by what they say: how often they say it. None: they are not."""
    words = cut(text)
    said = [opened(words[at + 2]) for at in range(len(words) - 2) if words[at : at + 2] == ["fullText", "contains"]]
    wanted = [each for one in said for each in phrases(one)]
    return (lambda document: -sum(times(document, each) for each in wanted)) if said else None


def changed(sign: str) -> Callable[[str], Finds]:
    def finds(word: str) -> Finds:
        at = instant(opened(word))
        return lambda document: SIGNS[sign](document.modified, at)

    return finds


def instant(text: str) -> datetime:
    """RFC 3339; without a zone, UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise invalid() from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def in_trash(sign: str) -> Callable[[str], Finds]:
    def finds(word: str) -> Finds:
        if word not in ("true", "false"):
            raise invalid()
        return lambda document: SIGNS[sign](document.trashed, word == "true")

    return finds


WITHIN = {
    "parents": in_parents,
    "owners": in_owners,
    "writers": holding("owner", "organizer", "fileOrganizer", "writer"),
    "readers": holding("owner", "organizer", "fileOrganizer", "writer", "commenter", "reader"),
}

TERMS: Mapping[tuple[str, str], Callable[[str], Finds]] = {
    ("name", "contains"): named(begins_a_word),
    ("mimeType", "contains"): typed(lambda text, wanted: text.startswith(wanted)),
    ("fullText", "contains"): says,
    **{("name", sign): named(SIGNS[sign]) for sign in ("=", "!=")},
    **{("mimeType", sign): typed(SIGNS[sign]) for sign in ("=", "!=")},
    **{("trashed", sign): in_trash(sign) for sign in ("=", "!=")},
    **{("modifiedTime", sign): changed(sign) for sign in SIGNS},
}


def invalid() -> Failure:
    return Failure(400, "invalid", "Invalid Value", "q")


Mask: TypeAlias = dict[str, Any]

FIELDS_WORD = re.compile(r"\s*(\*|[A-Za-z][A-Za-z0-9]*|[(),/])")

EVERY = "*"

KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "boolean": (bool,), "integer": (int,), "number": (float, int), "array": (list,),
    "object": (dict,),
}  # fmt: skip

ALWAYS: Mapping[str, str] = {
    "File": "kind,id,name,mimeType,driveId,teamDriveId",
    "FileList": "kind,incompleteSearch,nextPageToken,files(kind,id,name,mimeType,driveId,teamDriveId)",
    "Permission": "kind,id,type,role",
    "PermissionList": "kind,nextPageToken,permissions(kind,id,type,role)",
}
"""What is answered where no mask says what is wanted; of the rest, all."""


def shown(answer: Any, name: str, text: str | None) -> Any:
    """Raises Failure: the mask cannot be, or names what is not declared."""
    declared(answer, schema(name), name)
    chosen = parsed(text or ALWAYS.get(name, EVERY))
    known(chosen, schema(name))
    return masked(answer, chosen)


def parsed(text: str) -> Mask:
    words = FIELDS_WORD.findall(text)
    if "".join(words) != re.sub(r"\s", "", text):
        raise refused(text)
    mask, rest = several(words, text)
    if rest:
        raise refused(text)
    return mask


def several(words: list[str], text: str) -> tuple[Mask, list[str]]:
    """Fields and commas, up to what is neither."""
    mask: Mask = {}
    while True:
        name, below, words = fields_single(words, text)
        mask[name] = {**mask.get(name, {}), **below}
        if words[:1] != [","]:
            return mask, words
        words = words[1:]


def fields_single(words: list[str], text: str) -> tuple[str, Mask, list[str]]:
    if not words or words[0] in "(),/":
        raise refused(text)
    name, rest = words[0], words[1:]
    if rest[:1] == ["/"]:
        below, mask, rest = fields_single(rest[1:], text)
        return name, {below: mask}, rest
    if rest[:1] == ["("]:
        mask, rest = several(rest[1:], text)
        if rest[:1] != [")"]:
            raise refused(text)
        return name, mask, rest[1:]
    return name, {}, rest


def known(mask: Mask, spec: Spec) -> None:
    for name, below in mask.items():
        if name == EVERY:
            continue
        inner = part(spec, name)
        if inner is None:
            raise refused(name)
        known(below, inner)


def part(spec: Spec, name: str) -> Spec | None:
    """What is declared of a field, of a list's items for a list; None: nothing is."""
    whole = resolved(spec)
    if "additionalProperties" in whole:
        return resolved(whole["additionalProperties"])
    inner = whole.get("properties", {}).get(name)
    return None if inner is None else resolved(inner)


def resolved(spec: Spec) -> Spec:
    while "$ref" in spec or spec.get("type") == "array":
        spec = schema(spec["$ref"]) if "$ref" in spec else spec["items"]
    return spec


def masked(answer: Any, mask: Mask) -> Any:
    if isinstance(answer, list):
        return [masked(each, mask) for each in answer]
    if not isinstance(answer, dict) or not mask or EVERY in mask:
        return answer
    return {name: masked(answer[name], below) for name, below in mask.items() if name in answer}


def declared(value: Any, spec: Spec, where: str) -> None:
    """INVARIANT: what we say is of the names and types that Google declares; a 64-bit number is a text."""
    if "$ref" in spec:
        spec = schema(spec["$ref"])
    assert type(value) in KINDS[spec["type"]], f"{where} is no {spec['type']}"
    if spec["type"] == "array":
        for each in value:
            declared(each, spec["items"], where)
    elif spec["type"] == "object":
        for name, each in value.items():
            inner = spec.get("properties", {}).get(name, spec.get("additionalProperties"))
            assert inner is not None, f"{where}.{name} is not declared"
            declared(each, inner, f"{where}.{name}")


def refused(text: str) -> Failure:
    return Failure(400, "invalidParameter", f"Invalid field selection {text}", "fields")
