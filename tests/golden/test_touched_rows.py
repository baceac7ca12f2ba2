"""PostgreSQL touches no more rows for a golden query than it must: those returned, wherever an index leads to them."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from demo.data.seed_sql import seed
from demo.servers.postgresql import PostgresqlServer
from onedoor.connectors.audit_log import AuditLogConnector
from onedoor.connectors.sql import postgresql
from onedoor.connectors.sql.connector import SqlConnector
from onedoor.spi.predicates import Comparison, Exists, Row, iterate_leaves
from onedoor.spi.scan import ScanRequest
from tests import acme
from tests.connectors.sql.plans import Touched, count_touched_rows
from tests.golden.test_golden import CASES, HERE, JOURNAL, read_json

ROWS_OF_FEW_PAGES = 300

SCALES = {"500 customers": 0.05, "10,000 customers": 1.0}


class ObservedDatabase:
    """A database that notes what it is asked for."""

    def __init__(self, connector: SqlConnector) -> None:
        self.connector = connector
        self.requests: list[ScanRequest] = []

    def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        self.requests.append(request)
        return self.connector.scan(request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connector, name)


@pytest.fixture(scope="module", params=["500 customers", pytest.param("10,000 customers", marks=pytest.mark.long)])
def url(request: pytest.FixtureRequest, postgresql_started: PostgresqlServer) -> str:
    result = postgresql_started.emptied("golden")
    seed(result, SCALES[request.param])
    with psycopg.connect(result, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return result


@pytest.fixture
async def database(url: str) -> AsyncIterator[ObservedDatabase]:
    connector = await postgresql.connect(postgresql.PostgresqlOptions(url=url))
    yield ObservedDatabase(connector)
    await connector.close()


@pytest.mark.parametrize("name", CASES)
async def test_a_golden_query_touches_what_it_returns(database: ObservedDatabase, url: str, name: str) -> None:
    catalog = acme.build_catalog({**acme.sources(), "internal": database})
    connectors = {**catalog.connectors, "journal": AuditLogConnector(JOURNAL)}
    engine = acme.open_engine(replace(catalog, connectors=connectors, version="golden"))
    folder = HERE / name
    variables, options = (read_json(folder / f"{part}.json") for part in ("variables", "options"))
    groups = (folder / "caller").read_text().split()
    await acme.ask(engine, (folder / "query.graphql").read_text(), *groups, variables=variables, **options)
    touched = [(request, count_touched_rows(database.connector, url, request)) for request in database.requests]
    assert [pair for pair in touched if not is_as_few_as_can_be(database.connector, *pair)] == []


def is_as_few_as_can_be(connector: SqlConnector, request: ScanRequest, counts: Touched) -> bool:
    """Whether an index was used that could be; where none can, each row of each table may be read once.

    A table of a few pages is read as fast without its index.
    """
    if counts.is_served_by_index or counts.touched <= ROWS_OF_FEW_PAGES:
        return True
    sizes = [connector.capabilities(collection).row_count or 0 for collection in list_collections(request)]
    return not can_use_index(connector, request) and counts.touched <= sum(sizes)


def can_use_index(connector: SqlConnector, request: ScanRequest) -> bool:
    """Whether an index leads to the first rows of a request: counting reads all rows that it counts."""
    indexed = connector.tables[request.collection].statistics.indexed_columns
    is_sorted_by_index = all(key.column in indexed for key in request.sort[:1])
    return not request.aggregates and is_sorted_by_index and is_filtered_by_index(connector, request)


def is_filtered_by_index(connector: SqlConnector, request: ScanRequest) -> bool:
    """Whether an index serves every test of the filter; one of related rows is looked up by their keys."""
    indexed = connector.tables[request.collection].statistics.indexed_columns
    leaves = list(iterate_leaves(request.filter))
    columns = {leaf.column for leaf in leaves if isinstance(leaf, Comparison)}
    return not any(isinstance(leaf, Exists) for leaf in leaves) and columns <= indexed


def list_collections(request: ScanRequest) -> Iterator[str]:
    """Yield the collections that a request reads, as often as it names them."""
    yield request.collection
    yield from (join.collection for join in request.joins)
    yield from _list_filtered_collections(request.filter)


def _list_filtered_collections(predicate: Any) -> Iterator[str]:
    for leaf in iterate_leaves(predicate):
        if isinstance(leaf, Exists):
            yield leaf.collection
            yield from _list_filtered_collections(leaf.filter)


def test_the_tables_are_large(url: str) -> None:
    with psycopg.connect(url) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM orders").fetchall()
    assert count >= 10_000
