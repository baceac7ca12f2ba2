"""An export as a job: judged before there is one, run as its starter, shared by workers where it is large."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from auth import users
from auth.authentication import Principal
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.exports.job import EXPORT_JOB, ExportInput, build_export_action, declare_export_jobs, open_download
from onedoor.exports.models import Format
from onedoor.exports.plan import RangeLimits
from onedoor.exports.storage import FolderExportStore
from onedoor.jobs.models import StartRequest
from onedoor.model.catalog import ActionCall
from onedoor.query.audited import AuditedExecutor
from tests import acme
from tests.jobs.houses import House, house, member

TEXT = "{ orders(first: 120) { nodes { id total } } }"


@asynccontextmanager
async def opened(
    folder: Path, range_limits: RangeLimits | None = None
) -> AsyncIterator[tuple[House, AuditedExecutor, FolderExportStore]]:
    store = FolderExportStore(folder / "exports")
    async with house(folder, declare_export_jobs(store, range_limits=range_limits), built=acme.house) as at:
        asking = at.works.worker.runner.executor
        yield (
            at,
            asking,
            store,
        )


def keyed(at: House, *groups: str) -> Principal:
    """Someone with a key of their own."""
    caller = member(at.state, *groups)
    return replace(caller, key_id=users.create_key(at.state, caller.email).id)


async def begun(at: House, caller: Principal, text: str, format: Format = Format.CSV) -> Any:
    given = ExportInput(query=text, format=format)
    return await at.ended(
        await at.works.service.start(StartRequest(job_name=EXPORT_JOB, principal=caller, input=given))
    )


async def test_an_export_is_a_job(tmp_path: Path) -> None:
    async with opened(tmp_path) as (at, clerk, store):
        caller = keyed(at, "sales")
        row = await begun(at, caller, "{ customers(first: 120) { nodes { id creditLimit } } }")
        found = await open_download(clerk, store, caller, row["id"], "export.csv")
        assert found is not None
        body = b"".join([each async for each in found.chunks])
    assert (row["state"], json.loads(row["result"])) == (
        "SUCCEEDED",
        {
            "rows": 100,
            "files": [f"/exports/{row['id']}/export.csv"],
            "leftOut": ["creditLimit: `Customer.creditLimit` is for finance; ask sales operations for it"],
        },
    )
    assert len(body.splitlines()) == 101


async def test_a_key_that_was_revoked_exports_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as (at, _, _):
        caller = keyed(at, "sales")
        users.revoke_key(at.state, caller.key_id)
        row = await begun(at, caller, TEXT)
    assert row["state"] == "REFUSED"


async def test_workers_share_an_export_in_ranges(tmp_path: Path) -> None:
    limits = RangeLimits(split_rows=100, range_rows=400)
    async with opened(tmp_path, range_limits=limits) as (at, _, store):
        row = await begun(at, keyed(at, "sales"), "{ orders { nodes { id } } }", Format.JSONL)
        stated = store.load_plan(row["id"])
        assert stated is not None
        parts = [part for each in stated.ranges for part in store.list_parts(stated.id, each.number)]
    assert (row["state"], json.loads(row["result"])["rows"], len(stated.ranges)) == ("SUCCEEDED", 2000, 5)
    assert sum(each.rows for each in parts) == 2000


def act(caller: Principal, **given: Any) -> ActionCall:
    return ActionCall(principal=caller, field="exportQuery", arguments={"input": given}, record_id="R1", deadline=1e9)


async def test_the_mutation_gives_the_jobs_id(tmp_path: Path) -> None:
    async with opened(tmp_path) as (at, clerk, _):
        action, caller = build_export_action(at.works.service, clerk), keyed(at, "sales")
        given = {"query": TEXT, "format": "PARQUET", "idempotencyKey": "k1"}
        ids = [(await action(act(caller, **given))).row_id for _ in range(2)]
        assert ids[0] is not None
        row = await at.ended(ids[0])
    assert (ids[0] == ids[1], row["state"], json.loads(row["result"])["rows"]) == (True, "SUCCEEDED", 120)


REFUSED = [
    pytest.param("{ order(id: 1) { id } }", ErrorCode.BAD_USER_INPUT, id="no list"),
    pytest.param("{ orders { nodes { nothing } } }", ErrorCode.GRAPHQL_VALIDATION_FAILED, id="an unknown field"),
    pytest.param("{ requests { nodes { id } } }", ErrorCode.FORBIDDEN, id="what is withheld"),
]


@pytest.mark.parametrize(("text", "code"), REFUSED)
async def test_what_cannot_be_exported_is_no_job(tmp_path: Path, text: str, code: ErrorCode) -> None:
    async with opened(tmp_path) as (at, clerk, _):
        with pytest.raises(ConnectorError) as failed:
            await build_export_action(at.works.service, clerk)(act(keyed(at, "sales"), query=text, format="CSV"))
        assert failed.value.code is code
        assert at.heard.ids == []
