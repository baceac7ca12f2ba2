"""A GraphQL service in, its collections as they are described out: for `introspect`, and for the file of settings."""

from collections.abc import Iterator, Mapping
from typing import Any

from graphql import GraphQLSchema, get_named_type

from auth.mistake import Mistake
from introspect.words import Column, Described, Reference, Table
from sources.graphql.asked import filters, keys
from sources.graphql.found import Found, Shown, found, large
from sources.graphql.schema import address, schema


async def described(url: str) -> Described:
    """By the names of their collections. Raises Mistake where there is no schema, or nothing that can be listed."""
    read = await schema(url)
    listed = found(read)
    if not listed:
        raise Mistake(
            "the service has no field that lists rows without being asked for more: nothing can be read of it"
        )
    of_type = {each.of.name: each for each in listed.values()}
    return Described(tables=tuple(_table(each, of_type) for each in listed.values()), settings=_settings(url, read))


def _settings(url: str, read: GraphQLSchema) -> Mapping[str, Any]:
    """What stands under `[sources.<name>]` in the file of settings; where only a file is known, not where it is."""
    at = address(url)
    place = {"url": "" if at is None else at}
    private = {"private_addresses": True} if at is not None and at.startswith("http:") else {}
    return {
        "kind": "graphql",
        **place,
        **private,
        "collections": {name: dict(_declared(each, keys(read, each))) for name, each in found(read).items()},
    }


def _table(one: Found, of_type: Mapping[str, Found]) -> Table:
    return Table(
        name=one.name,
        columns=tuple(_column(name, each) for name, each in one.columns.items()),
        key=(one.key,) if one.key else (),
        references=tuple(_references(one, of_type)),
        comment=one.of.description or "",
    )


def _column(name: str, shown: Shown) -> Column:
    return Column(
        name=name,
        kind=shown.kind,
        nullable=shown.nullable,
        large=large(shown),
        comment=shown.field.description or "",
        values=shown.values,
        enum=get_named_type(shown.field.type).name if shown.values else "",
    )


def _references(one: Found, of_type: Mapping[str, Found]) -> Iterator[Reference]:
    for name, shown in one.columns.items():
        to = of_type.get(shown.to or "")
        if to is not None and to.key is not None and shown.at[-1] == to.columns[to.key].at[-1]:
            yield Reference(columns=(name,), to=to.name, there=(to.key,))


def _declared(one: Found, by: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "field", one.root
    if one.rows:
        yield "rows", ".".join(one.rows)
    yield "columns", {name: _placed(name, each) for name, each in one.columns.items()}
    if by:
        yield "keys", by
    if asked := filters(one):
        yield "filters", asked
    if one.paged:
        yield "paging", {"size": 100}


def _placed(name: str, shown: Shown) -> Any:
    """A kind alone, where the column lies under its own name."""
    return str(shown.kind) if shown.at == (name,) else {"kind": str(shown.kind), "at": ".".join(shown.at)}
