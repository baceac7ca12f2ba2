"""Parts in, one document and its variables out: only what is wanted is selected, and no value is printed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sources.graphql.collection import Paging
from sources.graphql.parts import Part, Sent
from sources.rest.collection import At

Tree: TypeAlias = dict[str, "Tree"]
"""Fields by name, with what is selected of each; of a leaf, nothing."""
PAGE = "pageInfo { hasNextPage endCursor }"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """A part, the cursor after which its next page begins, and how many rows it may still give."""

    part: Part
    after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    text: str
    variables: Mapping[str, Any]


def document(turned: Sequence[Turned], wanted: Iterable[At]) -> Document:
    """The parts stand under `p0`, `p1` and so on; `wanted` is where the columns lie in a row."""
    row = selection(tree(wanted)) or "__typename"
    fields: list[str] = []
    declared: list[str] = []
    variables: dict[str, Any] = {}
    for number, each in enumerate(turned):
        names = []
        for sent in (*each.part.sent, *paged(each)):
            name = f"v{len(variables)}"
            declared.append(f"${name}: {sent.type}")
            names.append(f"{sent.argument}: ${name}")
            variables[name] = sent.value
        fields.append(f"p{number}: {field(each.part, names, row)}")
    head = f"query ({', '.join(declared)})" if declared else "query"
    return Document(text=f"{head} {{ {' '.join(fields)} }}", variables=variables)


def field(part: Part, arguments: Sequence[str], row: str) -> str:
    """`viewer { desks(first: $v0) { nodes { id } pageInfo { ... } } }`."""
    *above, last = part.field
    below = inside(part.rows, row) + (f" {PAGE}" if part.paging else "")
    text = f"{last}({', '.join(arguments)}) {{ {below} }}" if arguments else f"{last} {{ {below} }}"
    return inside(tuple(above), text)


def inside(steps: At, text: str) -> str:
    for each in reversed(steps):
        text = f"{each} {{ {text} }}"
    return text


def paged(turned: Turned) -> Iterator[Sent]:
    paging: Paging | None = turned.part.paging
    if paging is not None:
        limit = turned.part.limit
        size = paging.size if limit is None else min(paging.size, max(1, limit))
        yield Sent(argument=paging.first, type="Int", value=size)
        if turned.after is not None:
            yield Sent(argument=paging.after, type=paging.cursor, value=turned.after)


def tree(wanted: Iterable[At]) -> Tree:
    root: Tree = {}
    for steps in wanted:
        at = root
        for each in steps:
            at = at.setdefault(each, {})
    return root


def selection(of: Tree) -> str:
    return " ".join(f"{name} {{ {selection(below)} }}" if below else name for name, below in of.items())
