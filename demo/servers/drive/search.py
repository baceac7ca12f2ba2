"""Parse Drive's query language and its field masks."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from demo.data.files import Document, list_shares
from demo.servers.drive.store import DriveFailure, JsonSchema, PersonView, build_not_found, get_schema

DocumentTest: TypeAlias = Callable[[Document], bool]

WORD = re.compile(r"""\s*(?:(?P<text>'(?:[^'\\]|\\.)*')|(?P<sign>!=|<=|>=|[=<>(){}])|(?P<word>[A-Za-z]+))""", re.DOTALL)

SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


def compile_search(text: str, view: PersonView) -> DocumentTest:
    """Compile a query into a test. Raises DriveFailure for a query or a folder that Drive would refuse."""
    words = split_words(text)
    finds, rest = parse_joined(words, view)
    if rest:
        raise build_invalid_search()
    return finds


def split_words(text: str) -> list[str]:
    words, at = [], 0
    while at < len(text.rstrip()):
        match = WORD.match(text, at)
        if match is None:
            raise build_invalid_search()
        words.append(match[0].strip())
        at = match.end()
    return words


def parse_joined(words: list[str], view: PersonView) -> tuple[DocumentTest, list[str]]:
    finds, words = parse_single(words, view)
    while words[:1] in (["and"], ["or"]):
        joins = all if words[0] == "and" else any
        other, words = parse_single(words[1:], view)
        finds = join_tests(joins, finds, other)
    return finds, words


def join_tests(joins: Callable[[Any], bool], one: DocumentTest, other: DocumentTest) -> DocumentTest:
    return lambda document: joins(finds(document) for finds in (one, other))


def parse_single(words: list[str], view: PersonView) -> tuple[DocumentTest, list[str]]:
    if words[:1] == ["not"]:
        finds, rest = parse_single(words[1:], view)
        return lambda document: not finds(document), rest
    if words[:1] == ["("]:
        finds, rest = parse_joined(words[1:], view)
        if rest[:1] != [")"]:
            raise build_invalid_search()
        return finds, rest[1:]
    if words[:2] == ["appProperties", "has"]:
        return parse_property(words)
    if len(words) < 3:
        raise build_invalid_search()
    one, sign, other, *rest = words
    return compile_term(one, sign, other, view), rest


def parse_property(words: list[str]) -> tuple[DocumentTest, list[str]]:
    """Parse `appProperties has { key='a' and value='b' }`."""
    match words:
        case ["appProperties", "has", "{", "key", "=", key, "and", "value", "=", value, "}", *rest]:
            name, wanted = unquote_word(key), unquote_word(value)
            return lambda document: document.properties.get(name) == wanted, rest
    raise build_invalid_search()


def compile_term(one: str, sign: str, other: str, view: PersonView) -> DocumentTest:
    if sign == "in" and other in WITHIN:
        return WITHIN[other](unquote_word(one), view)
    if (one, sign) not in TERMS:
        raise build_invalid_search()
    return TERMS[one, sign](other)


def unquote_word(word: str) -> str:
    """Return the text between the quotes."""
    if not word.startswith("'"):
        raise build_invalid_search()
    return re.sub(r"\\(.)", r"\1", word[1:-1], flags=re.DOTALL)


def match_parent(id: str, view: PersonView) -> DocumentTest:
    """Match the files of a folder. Raises DriveFailure for a folder that the person does not see."""
    wanted = view.root if id == "root" else id
    if not view.knows(wanted):
        raise build_not_found("")
    return lambda document: document.parent == wanted


def match_owner(address: str, view: PersonView) -> DocumentTest:
    return lambda document: document.owner is not None and document.owner.lower() == check_address(address).lower()


def match_roles(*roles: str) -> Callable[[str, PersonView], DocumentTest]:
    def within(address: str, view: PersonView) -> DocumentTest:
        def finds(document: Document) -> bool:
            shares = list_shares(document, view.documents)
            return any(item.to == check_address(address) and item.role in roles for item in shares)

        return finds

    return within


def check_address(text: str) -> str:
    if "@" not in text:
        raise build_invalid_search()
    return text


def match_name(compare: Callable[[str, str], bool]) -> Callable[[str], DocumentTest]:
    def finds(word: str) -> DocumentTest:
        wanted = unquote_word(word).lower()
        return lambda document: compare(document.name.lower(), wanted)

    return finds


def has_word_prefix(text: str, wanted: str) -> bool:
    """Return whether a word of the name begins so, which is how Drive reads `contains`."""
    return any(part.startswith(wanted) for part in (text[word_start:] for word_start in list_word_starts(text)))


def list_word_starts(text: str) -> list[int]:
    return [match.start() for match in re.finditer(r"(?<!\w)\w", text)]


def match_type(compare: Callable[[str, str], bool]) -> Callable[[str], DocumentTest]:
    def finds(word: str) -> DocumentTest:
        wanted = unquote_word(word)
        return lambda document: compare(document.content_type, wanted)

    return finds


def match_text(word: str) -> DocumentTest:
    """Match whole words in name or text; between double quotes, words one after the other."""
    wanted = split_phrases(unquote_word(word))
    return lambda document: bool(wanted) and all(score_phrase(document, item) for item in wanted)


def split_phrases(text: str) -> list[list[str]]:
    """Split a text into phrases of letters and digits; a word alone is a phrase."""
    quoted = text.split('"')
    phrases = [[word] for part in quoted[::2] for word in list_words(part)] + list(map(list_words, quoted[1::2]))
    return [item for item in phrases if item]


def list_words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def score_phrase(document: Document, phrase: list[str]) -> int:
    """Count how often a phrase occurs, ten times for each occurrence in the name."""
    return 10 * count_phrase(list_words(document.name), phrase) + count_phrase(list_words(read_text(document)), phrase)


def count_phrase(words: list[str], phrase: list[str]) -> int:
    return sum(words[index : index + len(phrase)] == phrase for index in range(len(words)))


def read_text(document: Document) -> str:
    readable = not document.content_type.startswith(("application/pdf", "image/"))
    return document.body.decode("utf-8", "replace") if readable else ""


def compile_relevance(text: str) -> Callable[[Document], int] | None:
    """Return the sort key of a full text search, or None for any other search."""
    words = split_words(text)
    said = [
        unquote_word(words[index + 2])
        for index in range(len(words) - 2)
        if words[index : index + 2] == ["fullText", "contains"]
    ]
    wanted = [phrase for one in said for phrase in split_phrases(one)]
    return (lambda document: -sum(score_phrase(document, item) for item in wanted)) if said else None


def match_time(sign: str) -> Callable[[str], DocumentTest]:
    def finds(word: str) -> DocumentTest:
        time = parse_time(unquote_word(word))
        return lambda document: SIGNS[sign](document.modified, time)

    return finds


def parse_time(text: str) -> datetime:
    """Read RFC 3339, in UTC without a zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise build_invalid_search() from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def match_trash(sign: str) -> Callable[[str], DocumentTest]:
    def finds(word: str) -> DocumentTest:
        if word not in ("true", "false"):
            raise build_invalid_search()
        return lambda document: SIGNS[sign](document.trashed, word == "true")

    return finds


WITHIN = {
    "parents": match_parent,
    "owners": match_owner,
    "writers": match_roles("owner", "organizer", "fileOrganizer", "writer"),
    "readers": match_roles("owner", "organizer", "fileOrganizer", "writer", "commenter", "reader"),
}

TERMS: Mapping[tuple[str, str], Callable[[str], DocumentTest]] = {
    ("name", "contains"): match_name(has_word_prefix),
    ("mimeType", "contains"): match_type(lambda text, wanted: text.startswith(wanted)),
    ("fullText", "contains"): match_text,
    **{("name", sign): match_name(SIGNS[sign]) for sign in ("=", "!=")},
    **{("mimeType", sign): match_type(SIGNS[sign]) for sign in ("=", "!=")},
    **{("trashed", sign): match_trash(sign) for sign in ("=", "!=")},
    **{("modifiedTime", sign): match_time(sign) for sign in SIGNS},
}


def build_invalid_search() -> DriveFailure:
    return DriveFailure(400, "invalid", "Invalid Value", "q")


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


def apply_mask(answer: Any, name: str, text: str | None) -> Any:
    """Return the masked answer. Raises DriveFailure for a mask that names what is not declared."""
    check_declared(answer, get_schema(name), name)
    chosen = parse_mask(text or ALWAYS.get(name, EVERY))
    check_mask(chosen, get_schema(name))
    return select_fields(answer, chosen)


def parse_mask(text: str) -> Mask:
    words = FIELDS_WORD.findall(text)
    if "".join(words) != re.sub(r"\s", "", text):
        raise build_invalid_mask(text)
    mask, rest = parse_fields(words, text)
    if rest:
        raise build_invalid_mask(text)
    return mask


def parse_fields(words: list[str], text: str) -> tuple[Mask, list[str]]:
    """Parse fields and commas, up to anything else."""
    mask: Mask = {}
    while True:
        name, below, words = parse_field(words, text)
        mask[name] = {**mask.get(name, {}), **below}
        if words[:1] != [","]:
            return mask, words
        words = words[1:]


def parse_field(words: list[str], text: str) -> tuple[str, Mask, list[str]]:
    if not words or words[0] in "(),/":
        raise build_invalid_mask(text)
    name, rest = words[0], words[1:]
    if rest[:1] == ["/"]:
        below, mask, rest = parse_field(rest[1:], text)
        return name, {below: mask}, rest
    if rest[:1] == ["("]:
        mask, rest = parse_fields(rest[1:], text)
        if rest[:1] != [")"]:
            raise build_invalid_mask(text)
        return name, mask, rest[1:]
    return name, {}, rest


def check_mask(mask: Mask, spec: JsonSchema) -> None:
    for name, below in mask.items():
        if name == EVERY:
            continue
        inner = find_field_schema(spec, name)
        if inner is None:
            raise build_invalid_mask(name)
        check_mask(below, inner)


def find_field_schema(spec: JsonSchema, name: str) -> JsonSchema | None:
    """Return the schema of a field, of its items for a list; None if it is not declared."""
    whole = resolve_schema(spec)
    if "additionalProperties" in whole:
        return resolve_schema(whole["additionalProperties"])
    inner = whole.get("properties", {}).get(name)
    return None if inner is None else resolve_schema(inner)


def resolve_schema(spec: JsonSchema) -> JsonSchema:
    while "$ref" in spec or spec.get("type") == "array":
        spec = get_schema(spec["$ref"]) if "$ref" in spec else spec["items"]
    return spec


def select_fields(answer: Any, mask: Mask) -> Any:
    if isinstance(answer, list):
        return [select_fields(item, mask) for item in answer]
    if not isinstance(answer, dict) or not mask or EVERY in mask:
        return answer
    return {name: select_fields(answer[name], below) for name, below in mask.items() if name in answer}


def check_declared(value: Any, spec: JsonSchema, where: str) -> None:
    """Check that an answer has only the names and types that Google declares."""
    if "$ref" in spec:
        spec = get_schema(spec["$ref"])
    assert type(value) in KINDS[spec["type"]], f"{where} is no {spec['type']}"
    if spec["type"] == "array":
        for item in value:
            check_declared(item, spec["items"], where)
    elif spec["type"] == "object":
        for name, each in value.items():
            inner = spec.get("properties", {}).get(name, spec.get("additionalProperties"))
            assert inner is not None, f"{where}.{name} is not declared"
            check_declared(each, inner, f"{where}.{name}")


def build_invalid_mask(text: str) -> DriveFailure:
    return DriveFailure(400, "invalidParameter", f"Invalid field selection {text}", "fields")
