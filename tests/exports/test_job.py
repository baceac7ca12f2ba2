"""An export is a job: validated before it starts, run as its starter, and shared by workers where it is large."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from auth import api_keys
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
from tests.jobs.application import JobApplication, make_member, open_application

TEXT = "{ orders(first: 120) { nodes { id total } } }"


@asynccontextmanager
async def open_exports(
    folder: Path, range_limits: RangeLimits | None = None
) -> AsyncIterator[tuple[JobApplication, AuditedExecutor, FolderExportStore]]:
    store = FolderExportStore(folder / "exports")
    async with open_application(
        folder, declare_export_jobs(store, range_limits=range_limits), build_catalog=acme.build_catalog
    ) as app:
        job_executor = app.runtime.worker.runner.executor
        yield (
            app,
            AuditedExecutor(
                engine=job_executor.engine, audit_log=job_executor.audit_log, redaction_key=job_executor.redaction_key
            ),
            store,
        )


def make_keyed_member(app: JobApplication, *groups: str) -> Principal:
    """Return a member with an API key of their own."""
    caller = make_member(app.database, *groups)
    return replace(caller, key_id=api_keys.create_key(app.database, caller.email).id)


async def run_job(app: JobApplication, caller: Principal, text: str, format: Format = Format.CSV) -> Any:
    given = ExportInput(query=text, format=format)
    return await app.wait_ended(
        await app.runtime.service.start(StartRequest(job_name=EXPORT_JOB, principal=caller, input=given))
    )


async def test_an_export_is_a_job(tmp_path: Path) -> None:
    async with open_exports(tmp_path) as (app, executor, store):
        caller = make_keyed_member(app, "sales")
        row = await run_job(app, caller, "{ customers(first: 120) { nodes { id creditLimit } } }")
        download = await open_download(executor, store, caller, row["id"], "export.csv")
        assert download is not None
        body = b"".join([chunk async for chunk in download.chunks])
    assert (row["state"], json.loads(row["result"])) == (
        "SUCCEEDED",
        {
            "rows": 100,
            "files": [f"/exports/{row['id']}/export.csv"],
            "leftOut": [
                "creditLimit: `Customer.creditLimit` is for finance; send `requestAccess`, or ask finance "
                "(finance@acme.example) for it"
            ],
        },
    )
    assert len(body.splitlines()) == 101


async def test_a_key_that_was_revoked_exports_nothing(tmp_path: Path) -> None:
    async with open_exports(tmp_path) as (app, _, _):
        caller = make_keyed_member(app, "sales")
        api_keys.revoke_key(app.database, caller.key_id)
        row = await run_job(app, caller, TEXT)
    assert row["state"] == "REFUSED"


async def test_workers_share_an_export_in_ranges(tmp_path: Path) -> None:
    limits = RangeLimits(split_rows=100, range_rows=400)
    async with open_exports(tmp_path, range_limits=limits) as (app, _, store):
        row = await run_job(app, make_keyed_member(app, "sales"), "{ orders { nodes { id } } }", Format.JSONL)
        plan = store.load_plan(row["id"])
        assert plan is not None
        parts = [part for range_ in plan.ranges for part in store.list_parts(plan.id, range_.number)]
    assert (row["state"], json.loads(row["result"])["rows"], len(plan.ranges)) == ("SUCCEEDED", 2000, 5)
    assert sum(item.rows for item in parts) == 2000


def build_call(caller: Principal, **given: Any) -> ActionCall:
    return ActionCall(principal=caller, field="exportQuery", arguments={"input": given}, record_id="R1", deadline=1e9)


async def test_the_mutation_gives_the_jobs_id(tmp_path: Path) -> None:
    async with open_exports(tmp_path) as (app, executor, _):
        action, caller = build_export_action(app.runtime.service, executor), make_keyed_member(app, "sales")
        given = {"query": TEXT, "format": "PARQUET", "idempotencyKey": "k1"}
        ids = [(await action(build_call(caller, **given))).row_id for _ in range(2)]
        assert ids[0] is not None
        row = await app.wait_ended(ids[0])
    assert (ids[0] == ids[1], row["state"], json.loads(row["result"])["rows"]) == (True, "SUCCEEDED", 120)


REFUSED = [
    pytest.param("{ order(id: 1) { id } }", ErrorCode.BAD_USER_INPUT, id="no list"),
    pytest.param("{ orders { nodes { nothing } } }", ErrorCode.GRAPHQL_VALIDATION_FAILED, id="an unknown field"),
    pytest.param("{ requests { nodes { id } } }", ErrorCode.FORBIDDEN, id="what is withheld"),
]


@pytest.mark.parametrize(("text", "code"), REFUSED)
async def test_a_query_that_cannot_be_exported_starts_no_job(tmp_path: Path, text: str, code: ErrorCode) -> None:
    async with open_exports(tmp_path) as (app, executor, _):
        with pytest.raises(ConnectorError) as failed:
            await build_export_action(app.runtime.service, executor)(
                build_call(make_keyed_member(app, "sales"), query=text, format="CSV")
            )
        assert failed.value.code is code
        assert app.notifier.ids == []
