"""The tables of the metadata database answer each scan as rows in memory do, and hold no digest."""

from datetime import timedelta
from typing import Any

import pytest

from auth import api_keys, users
from onedoor.app import METADATA_COLLECTIONS
from onedoor.connectors.memory import MemoryCollection, answer_scan
from onedoor.connectors.metadata import MetadataConnector
from onedoor.jobs.tables import JobDatabase
from onedoor.spi.predicates import And, Comparison, Op
from onedoor.spi.scan import KeyFilter, ScanRequest, SortKey
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.tables import UNIX_EPOCH
from tests.auth.conftest import clock, state, url  # noqa: F401

NAMES = ("ada", "Ada", "ádá", "bob", "zoë", "Zoe", "a b", "Ä")
EMAILS = [f"{number}@acme.example" for number in range(len(NAMES))]
LATER = UNIX_EPOCH + timedelta(days=365 * 56 + 309)


@pytest.fixture
def database(state: MetadataDatabase, clock: Any) -> MetadataDatabase:  # noqa: F811
    for number, (name, email) in enumerate(zip(NAMES, EMAILS, strict=True)):
        clock.seconds = 60.0 * number
        users.create_user(state, first_name=name, last_name=name[::-1], email=email)
        users.join_group(state, email, *("finance", "sales")[: number % 3])
        api_keys.create_key(state, email, days=number + 1)
    users.create_service(state, name="till-7", owner_group="sales")
    users.deactivate_user(state, EMAILS[1])
    return state


def compare(column: str, op: Op, value: Any) -> Comparison:
    return Comparison(column=column, op=op, value=value)


FIRST_NAME = SortKey("first_name")
SCANS = {
    "everything": ("user", {}),
    "by code point": ("user", {"sort": (FIRST_NAME, SortKey("id"))}),
    "backwards, nulls first": (
        "user", {"sort": (SortKey("owner_group", descending=True, nulls_first=True), FIRST_NAME, SortKey("id"))},
    ),
    "the first three": ("user", {"sort": (FIRST_NAME,), "limit": 3}),
    "a name, exactly": ("user", {"filter": compare("first_name", Op.EQ, "Ada")}),
    "one of several names": ("user", {"filter": compare("first_name", Op.IN, ("Ada", "Ä", "nobody"))}),
    "no text of a database": ("user", {"filter": compare("first_name", Op.EQ, "a\0b")}),
    "half a character": ("user", {"filter": compare("first_name", Op.IN, ("\ud800", "bob"))}),
    "who is active": ("user", {"filter": compare("deactivated_at", Op.IS_NULL, True)}),
    "services": ("user", {"filter": compare("owner_group", Op.IS_NULL, False)}),
    "keys that expire": ("key", {"filter": compare("expires_at", Op.LT, LATER), "sort": (SortKey("expires_at"),)}),
    "two conditions": (
        "key", {"filter": And((compare("revoked_at", Op.IS_NULL, True), compare("expires_at", Op.GTE, LATER)))},
    ),
    "a number past all": ("key", {"filter": compare("secret", Op.LTE, 2**70)}),
    "members": ("membership", {"filter": compare("group_name", Op.EQ, "finance")}),
    "by keys": ("membership", {"keys": KeyFilter(("group_name",), (("finance",), ("sales",), ("none",)))}),
    "one of each": (
        "membership",
        {
            "keys": KeyFilter(("group_name",), (("finance",), ("sales",))),
            "sort": (SortKey("since", descending=True),),
            "limit": 1,
        },
    ),
    "by keys of three columns": (
        "membership", {"keys": KeyFilter(("person_id", "group_name", "source"), (("x", "finance", "local"),))},
    ),
}  # fmt: skip


async def scan(database: MetadataDatabase, collection: str, **options: Any) -> list[Any]:
    connector = MetadataConnector(JobDatabase(metadata=database), METADATA_COLLECTIONS)
    columns = tuple(connector.capabilities(collection).columns)
    request = ScanRequest(collection=collection, columns=columns, **options)
    rows = [tuple(row) async for batch in connector.scan(request) for row in batch]
    connector.database.close()
    return rows


@pytest.mark.parametrize(("collection", "options"), SCANS.values(), ids=SCANS)
async def test_a_scan_is_answered_as_rows_in_memory_are(
    database: MetadataDatabase, collection: str, options: dict[str, Any]
) -> None:
    capabilities = METADATA_COLLECTIONS[collection].capabilities
    rows = MemoryCollection(capabilities=capabilities, rows=await scan(database, collection))
    request = ScanRequest(collection=collection, columns=tuple(capabilities.columns), **options)
    expected, result = answer_scan({collection: rows}, request), await scan(database, collection, **options)
    assert (result if "sort" in options else sorted(map(str, result))) == (
        [*expected] if "sort" in options else sorted(map(str, expected))
    )


def test_no_digest_and_no_claim_is_served() -> None:
    served = {column for collection in METADATA_COLLECTIONS.values() for column in collection.capabilities.columns}
    assert not {column for column in served if "digest" in column or "code" in column}
