"""A document in, the operations that read out: their paths, their parameters and what they answer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote

from introspect.names import snake, words
from sources.rest.openapi.document import Document, Node
from sources.rest.openapi.schemas import Known, known

VERBS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """`form`: several values are joined by a comma, and not repeated."""

    name: str
    place: str
    of: Known
    comment: str
    required: bool
    joined: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`path` with the parameters it takes in braces, `steps` its other parts; constants are already in place.

    `written` is the path as the document has it.
    `answer` is None where it gives no JSON, `text` says that it gives a plain text. `links`: it has a Link header.
    """

    path: str
    written: str
    steps: tuple[str, ...]
    places: tuple[Parameter, ...]
    queries: tuple[Parameter, ...]
    tags: tuple[str, ...]
    comment: str
    answer: Known | None
    text: bool
    links: bool
    shape: tuple[str, ...]
    """The parts of its path, a parameter as nothing."""


def counted(document: Document) -> int:
    """How many operations there are, of any verb."""
    items = [each for each in document.root["paths"].values() if isinstance(each, Mapping)]
    return sum(verb in each for each in items for verb in VERBS)


def operations(document: Document, given: Mapping[str, str]) -> Iterator[Operation]:
    """Those that read. `given`: by parameter of a path, the one value it is to have."""
    for path, item in document.root["paths"].items():
        item = document.found(item)
        reading = item.get("get")
        if isinstance(path, str) and path.startswith("/") and isinstance(reading, Mapping):
            yield _operation(document, path, item, reading, given)


def _operation(document: Document, path: str, item: Node, reading: Node, given: Mapping[str, str]) -> Operation:
    taken = {(each.name, each.place): each for each in _parameters(document, item, reading)}
    parts = [each for each in path.split("/") if each]
    named = {each.name: each for each in taken.values() if each.place == "path"}
    places = [named.get(part[1:-1]) or _anything(part[1:-1]) for part in parts if _is_place(part)]
    whole = path
    for name, value in given.items():
        whole = whole.replace(f"{{{name}}}", quote(value, safe=""))
    left = tuple(each for each in places if each.name not in given)
    shape = (given.get(part[1:-1], "") if _is_place(part) else part for part in parts)
    answer, links, text = _answer(document, reading)
    return Operation(
        path=whole,
        written=path,
        steps=tuple(snake(words(part)) for part in parts if "{" not in part),
        places=left,
        queries=tuple(each for each in taken.values() if each.place == "query"),
        tags=tuple(str(each) for each in reading.get("tags", ()) if isinstance(each, str)),
        comment=str(reading.get("summary") or "").strip(),
        answer=answer,
        text=text,
        links=links,
        shape=tuple(shape),
    )


def _is_place(part: str) -> bool:
    return part.startswith("{") and part.endswith("}")


def _anything(name: str) -> Parameter:
    return Parameter(name=name, place="path", of=Known(type="string"), comment="", required=True)


def _parameters(document: Document, *of: Node) -> Iterator[Parameter]:
    for listed in (each.get("parameters", ()) for each in of):
        for each in map(document.found, listed if isinstance(listed, Sequence) else ()):
            if isinstance(each.get("name"), str):
                yield Parameter(
                    name=each["name"],
                    place=str(each.get("in")),
                    of=known(document, each.get("schema", {})),
                    comment=str(each.get("description") or ""),
                    required=each.get("required") is True,
                    joined=each.get("explode") is False,
                )


def _answer(document: Document, reading: Node) -> tuple[Known | None, bool, bool]:
    """What it says where all is well, whether with a Link header, and whether it is a plain text."""
    said: Any = reading.get("responses")
    good = [each for each in ("200", 200, "2XX", "default") if isinstance(said, Mapping) and each in said]
    response = document.found(said[good[0]]) if good else {}
    content = response.get("content")
    media = {str(each).partition(";")[0].strip(): one for each, one in content.items()} if content else {}
    links = any(str(each).lower() == "link" for each in response.get("headers") or ())
    for name, each in media.items():
        if name.endswith(("/json", "+json", "*/*")) and isinstance(each, Mapping):
            return known(document, each.get("schema", {})), links, False
    return None, links, bool(media) and all(each.startswith("text/") and each != "text/html" for each in media)


def chosen(of: Operation, patterns: Sequence[str]) -> bool:
    """Whether any pattern means it, a tag or a path, and none that begins with `!`; of no patterns: all."""
    out = [each[1:] for each in patterns if each.startswith("!")]
    kept = [each for each in patterns if not each.startswith("!")]
    meant = [*of.tags, of.written]
    return (not kept or any(fnmatchcase(one, each) for one in meant for each in kept)) and not any(
        fnmatchcase(one, each) for one in meant for each in out
    )
