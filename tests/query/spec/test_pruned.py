"""Arguments are checked wherever they stand, also where no row can match and nothing is read."""

from dataclasses import replace
from pathlib import Path

import pytest

from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.errors import ErrorCode
from onedoor.model.catalog import Catalog
from onedoor.spi.capabilities import Column, ColumnType
from onedoor.spi.text_types import UUID
from tests import acme
from tests.query.rules.world import NOTES, VENDOR, open_world
from tests.query.spec.conftest import build_catalog

BLOBS = "nodes { customer { blobFiles(%s) { totalCount } } }"


@pytest.mark.parametrize(
    ("where", "below", "code"),
    [
        pytest.param("{or: []}", "first: -1", ErrorCode.BAD_USER_INPUT, id="a size"),
        pytest.param("{or: []}", "first: 1, last: 1", ErrorCode.BAD_USER_INPUT, id="two sizes"),
        pytest.param("{or: []}", "first: 5000", ErrorCode.LIMIT_EXCEEDED, id="a size over the limit"),
        pytest.param("{or: []}", 'after: "x"', ErrorCode.BAD_CURSOR, id="a cursor"),
        pytest.param("{or: []}", "where: {name: {eq: null}}", ErrorCode.BAD_USER_INPUT, id="an operand"),
        pytest.param("{store: {eq: S3}}", "first: -1", ErrorCode.BAD_USER_INPUT, id="below other types"),
        pytest.param("{store: {eq: S3}}", "first: 1", None, id="nothing wrong"),
    ],
)
async def test_what_is_asked_of_types_that_cannot_match_is_checked(
    where: str, below: str, code: ErrorCode | None
) -> None:
    engine = acme.open_engine(build_catalog())
    rows = BLOBS % below
    answer = await acme.ask_as(engine, acme.caller("sales"), f"{{ files(where: {where}, first: 2) {{ {rows} }} }}")
    assert [error.code for error in answer.errors] == ([] if code is None else [code])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{ notes(where: {text: {eq: $text}}) { totalCount } }", id="of hidden rows"),
        pytest.param(
            "{ accounts(where: {notes: {some: {text: {eq: $text}}}}) { totalCount } }", id="of hidden related rows"
        ),
        pytest.param(
            "{ deals(where: {paper: {or: [], name: {eq: $text}}}) { totalCount } }", id="of related rows that cannot be"
        ),
    ],
)
async def test_variables_of_a_filter_that_matches_nothing_are_checked(tmp_path: Path, text: str) -> None:
    async with open_world(tmp_path) as world:
        engine = acme.open_engine(hold_uuids(world.engine.catalog))
        query = f"query ($text: String) {text}"
        answers = [await acme.ask_as(engine, VENDOR, query, {"text": value}) for value in ("no UUID", UUID_TEXT)]
    assert [[error.code for error in answer.errors] for answer in answers] == [[ErrorCode.BAD_USER_INPUT], []]


UUID_TEXT = "00000000-0000-0000-0000-000000000001"


def hold_uuids(catalog: Catalog) -> Catalog:
    """Return the catalog with texts of notes and names of contracts that are UUIDs, and notes that a vendor hides."""
    note = replace(catalog.mappings["Note"], rows={"vendor": {}, "staff": {}, "desk": {}})
    contract = MemoryConnector({"paper": hold_uuid(MemoryCollection(capabilities=PAPER, rows=()), "name")})
    notes = MemoryConnector({"note": hold_uuid(NOTES.collections["note"], "text")})
    return replace(
        catalog,
        mappings={**catalog.mappings, "Note": note},
        connectors={**catalog.connectors, "elsewhere": notes, "CONTRACT": contract},
    )


PAPER = acme.sql(
    {
        "id": ColumnType.INTEGER,
        "name": ColumnType.TEXT,
        "account_id": ColumnType.INTEGER,
        "author": ColumnType.TEXT,
    },
    acme.FOLDED,
    100,
)


def hold_uuid(collection: MemoryCollection, name: str) -> MemoryCollection:
    columns = collection.capabilities.columns
    column: Column = replace(columns[name], text_type=UUID)
    return replace(collection, capabilities=replace(collection.capabilities, columns={**columns, name: column}))
