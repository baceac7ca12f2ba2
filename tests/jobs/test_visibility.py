"""Who sees which jobs, and what of them, on every path."""

import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from onedoor.connectors.jobs import JobsConnector
from onedoor.connectors.principal import build_principal_connector
from onedoor.query.context import GraphQLRequest, build_query_engine
from onedoor.query.engine import execute
from tests import acme
from tests.jobs.application import build_small_catalog
from tests.jobs.stored_jobs import open_stored_jobs

ALL = "{ jobs(first: 100) { totalCount nodes { id name personId result lines { totalCount } files { totalCount } } } }"


async def query(source: JobsConnector, text: str, **variables: Any) -> Any:
    engine = build_query_engine(
        build_small_catalog(),
        lambda caller: {"caller": build_principal_connector(caller), "jobs": source},
        time.monotonic,
    )
    assert source.principal is not None
    result = await execute(engine, source.principal, GraphQLRequest(query=text, variables=variables))
    assert result.errors == () or list(result.errors) == []
    return orjson.loads(orjson.dumps(result.data, option=orjson.OPT_UTC_Z))


@pytest.mark.parametrize(
    ("groups", "people", "lines", "results"),
    [
        pytest.param(("audit",), {"P1": 4, "P2": 4, "P3": 4}, 9, 3, id="who is in a group that sees it sees every run"),
        pytest.param(
            ("finance",), {"P1": 4}, 3, 1, id="who started it sees what came of it too, while they may start it"
        ),
        pytest.param(("sales",), {"P1": 4}, 1, 0, id="and no more of what came of it once they may not"),
    ],
)
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
async def test_a_caller_sees_their_own_jobs_and_those_their_groups_see(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    store: str,
    groups: Any,
    people: dict[str, int],
    lines: int,
    results: int,
) -> None:
    url = request.getfixturevalue("postgresql_started").emptied("seeing") if store == "postgresql" else None
    with open_stored_jobs(tmp_path, *groups, url=url) as source:
        jobs = (await query(source, ALL))["jobs"]
    nodes = jobs["nodes"]
    assert jobs["totalCount"] == len(nodes)
    assert {person: sum(node["personId"] == person for node in nodes) for person in people} == people
    assert len(nodes) == sum(people.values())
    assert sum(node["lines"]["totalCount"] > 0 and node["files"]["totalCount"] == 2 for node in nodes) == lines
    assert sum(node["result"] is not None for node in nodes) == results


async def test_a_hidden_job_is_nowhere(tmp_path: Path) -> None:
    with open_stored_jobs(tmp_path, "audit") as source:
        ids = [node["id"] for node in (await query(source, ALL))["jobs"]["nodes"] if node["personId"] == "P3"]
        lines = await query(source, "query($id: ID!) { job(id: $id) { lines { nodes { id } } } }", id=ids[1])
        assert lines["job"]["lines"]["nodes"] != []
    hidden = acme.caller("sales")
    with open_stored_jobs(tmp_path / "..", "sales") as source:
        assert source.principal == hidden
        for id in ids:
            assert await query(source, "query($id: ID!) { job(id: $id) { id } }", id=id) == {"job": None}
        named = await query(source, "query($ids: [ID!]) { jobs(where: {id: {in: $ids}}) { totalCount } }", ids=ids)
        assert named == {"jobs": {"totalCount": 0}}


async def test_the_last_lines_are_one_read(tmp_path: Path) -> None:
    text = """{ jobs(orderBy: [{createdAt: DESC}], first: 2) { nodes {
      lines(orderBy: [{number: DESC}], first: 2) { nodes { number text } } } } }"""
    with open_stored_jobs(tmp_path, "audit") as source:
        nodes = (await query(source, text))["jobs"]["nodes"]
    assert nodes == [
        {"lines": {"nodes": [{"number": 11, "text": "line 10"}, {"number": 10, "text": "line 9"}]}},
        {"lines": {"nodes": [{"number": 10, "text": "line 9"}, {"number": 9, "text": "line 8"}]}},
    ]
