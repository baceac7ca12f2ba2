"""Everything that commit 04bc0ab left on a disk is read and continued by the present code."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from auth import api_keys, users
from auth.attribution import UNATTRIBUTED
from auth.authentication import open_authenticator
from onedoor.audit.log import AuditLog, open_audit_log
from onedoor.audit.reader import read_records
from onedoor.audit.verification import VerificationResult, verify_folder
from onedoor.codegen.apply import build_manifest_path, load_manifest, plan_codegen, read_current_files
from onedoor.codegen.models import encode_manifest
from onedoor.connectors.audit_log import AuditLogConnector
from onedoor.connectors.files.folder import FolderOptions, supports_markers
from onedoor.connectors.files.folder import connect as folder_connected
from onedoor.connectors.jobs import JobsConnector
from onedoor.connectors.sql.sqlite import SqliteOptions, connect
from onedoor.errors import ErrorCode
from onedoor.exports.models import ExportRequest, ExportState, Format
from onedoor.exports.plan import start_export
from onedoor.exports.storage import FolderExportStore
from onedoor.exports.writer import ExportRun, run_export, summarize_export
from onedoor.jobs.registry import compute_job_version, compute_release, register_jobs
from onedoor.jobs.tables import JobDatabase
from onedoor.model.catalog import Catalog, Limits
from onedoor.mutations.intents import StepOutcome
from onedoor.mutations.ledger_sql import HistoryQuery
from onedoor.query.audited import AuditedExecutor
from onedoor.spi.connector import ChangeKind, RowChange
from onedoor.spi.scan import ScanRequest
from onedoor.storage.database import MetadataDatabase, open_database
from tests import acme
from tests.exports.conftest import build_host
from tests.jobs.application import build_small_catalog, open_application
from tests.jobs.sample_jobs import JOBS
from tests.mutations.world import PEPPER, World, build_world

MADE = Path(__file__).parent / "made_by_04bc0ab"
FACTS: Mapping[str, Any] = json.loads((MADE / "facts.json").read_text(encoding="utf-8"))
CURSORS: Mapping[str, Any] = json.loads((MADE / "cursors.json").read_text(encoding="utf-8"))
LATER = datetime(2026, 11, 2, 12, tzinfo=UTC)
"""A day after the data was made."""


@cache
def build_acme() -> Catalog:
    return acme.build_catalog()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Copy what was made: reading changes what it reads."""
    return shutil.copytree(MADE, tmp_path / "made")


@pytest.fixture
def state(folder: Path) -> Iterator[MetadataDatabase]:
    database = open_database(f"sqlite:///{folder}/state.sqlite", PEPPER, now=lambda: LATER)
    yield database
    database.close()


@pytest.fixture
def world(state: MetadataDatabase, tmp_path: Path) -> Iterator[World]:
    opened = build_world(state, tmp_path / "bank.sqlite")
    yield opened
    opened.context.ledger.close()


def test_users_are_in_their_groups(state: MetadataDatabase) -> None:
    results = {user.email: (user.id, user.last_name, user.groups) for user in users.list_users(state)}
    who = FACTS["people"]
    assert results == {
        "ada@acme.example": (who["ada"], "Lovelace", ("audit", "everyone", "finance")),
        "Bob@acme.example": (who["bob"], "Böhm", ("everyone", "support")),
        "eve@acme.example": (who["eve"], "Noether", ("everyone",)),
    }
    assert [user.deactivated_at is None for user in users.list_users(state)] == [True, True, False]


async def test_keys_authenticate_whom_they_authenticated(state: MetadataDatabase) -> None:
    assert len(api_keys.list_keys(state)) == 4
    known = open_authenticator(state, acme.GROUPS)
    try:
        results = {name: await known.authenticate(text) for name, text in FACTS["keys"].items()}
    finally:
        known.close()
    assert {name: result and result.email for name, result in results.items()} == {
        "ada": "ada@acme.example", "bob": "Bob@acme.example", "bob, rotated": None, "eve, deactivated": None,
    }  # fmt: skip


INTENTS = [
    pytest.param("saga done", "DONE", "MADE MADE MADE MADE", id="done"),
    pytest.param("update", "DONE", "MADE", id="updated"),
    pytest.param("deleted", "DONE", "MADE", id="deleted"),
    pytest.param("not made", "NOT_MADE", "NOT_MADE NOT_MADE", id="not made"),
    pytest.param("undone", "UNDONE", "UNDONE MADE UNDONE MADE UNDONE MADE NOT_MADE", id="undone"),
    pytest.param("partly", "PARTLY", "UNDONE MADE UNDONE MADE MADE NOT_MADE", id="partly"),
    pytest.param("open", "OPEN", "MADE MADE MADE MADE", id="open"),
]


@pytest.mark.parametrize(("name", "came", "outcomes"), INTENTS)
async def test_intents_have_the_states_they_had(world: World, name: str, came: str, outcomes: str) -> None:
    ledger, id = world.context.ledger, FACTS["intents"][name]
    intent, taken = await ledger.find_intent(id), await ledger.load_attempts(id)
    assert intent is not None
    assert (intent.state, intent.person, intent.groups) == (came, "P1", ("everyone",))
    assert [item.outcome for item in taken] == [StepOutcome(part) for part in outcomes.split()]


async def test_the_history_is_read(world: World) -> None:
    history = await world.read_history("Account")
    assert [(change["verb"], change["state"], change["row"]) for change in history] == [
        ("create", "DONE", "7"), ("update", "DONE", "7"), ("create", "UNDONE", "9"), ("delete", "DONE", "9"),
        ("create", "UNDONE", "10"), ("delete", "DONE", "10"), ("delete", "DONE", "7"),
    ]  # fmt: skip
    assert history[0]["reason"] == "a new customer"
    assert [change["name"] for change in await world.read_history("Account.values")][:3] == ["Ada", "Ada", "Ada L"]
    assert [change.state for change in await world.context.ledger.read_history(HistoryQuery(type="Post"))] == [
        "DONE", "UNDONE", "DONE", "PARTLY", "DONE",
    ]  # fmt: skip


async def test_the_same_idempotency_key_is_the_same_change(world: World) -> None:
    again = await world.mutate("openAccount", number="7", name="Ada", idempotencyKey="k1", reason="a new customer")
    assert again.row_id == FACTS["changes"]["saga done"]
    assert world.bank.applied == []


async def test_an_open_intent_is_recovered(world: World) -> None:
    await world.recover()
    intent = await world.context.ledger.find_intent(FACTS["intents"]["open"])
    assert intent is not None
    assert intent.state == "DONE"
    assert [[change.type for change in record.changes] for record in world.records] == [
        ["Account", "Entry", "Post", "Entry"]
    ]


def test_the_history_of_memberships_begins_with_those_there_are(state: MetadataDatabase) -> None:
    periods = users.list_membership_periods(state)
    memberships = {(user.email, group) for user in users.list_users(state) for group in user.groups}
    assert {(period.email, period.group) for period in periods} == memberships
    assert {period.added for period in periods} == {UNATTRIBUTED}


def jobs_of(state: MetadataDatabase, person_id: str | None = None) -> JobsConnector:
    """Open the jobs as whoever started them, or as another member of the same groups."""
    with state.read_connection() as connection:
        starter = connection.exec_driver_sql("SELECT DISTINCT person_id FROM job").scalar_one()
    reader = replace(acme.caller("audit", "finance"), person_id=person_id or starter)
    return JobsConnector(
        JobDatabase(metadata=state), register_jobs(JOBS, acme.GROUPS), reader, build_small_catalog().policy
    )


async def test_jobs_are_listed(state: MetadataDatabase) -> None:
    request = ScanRequest(
        collection="job", columns=("id", "name", "state", "result", "done", "total", "reason", "error")
    )
    results = {row[0]: row[1:] async for batch in jobs_of(state).scan(request) for row in batch}
    failure = "it failed; where is in the log of who runs it"
    assert {name: results[id] for name, id in FACTS["jobs"].items()} == {
        "succeeded": ("Walk", "SUCCEEDED", '{"steps":2,"sum":"1"}', 2.0, 2.0, "to walk", None),
        "said": ("Say", "SUCCEEDED", None, None, None, None, None),
        "failed": ("Crash", "FAILED", None, None, None, None, failure),
        "running": ("Sleep", "RUNNING", None, None, None, None, None),
        "queued": ("Say", "QUEUED", None, None, None, None, None),
        "queued alone": ("WalkAlone", "QUEUED", None, None, None, None, None),
        "waiting": ("WalkAlone", "WAITING", None, None, None, None, None),
        "cancelled": ("Say", "CANCELLED", None, None, None, None, "Ada Lovelace cancelled it"),
    }


async def test_the_lines_of_jobs_are_read(state: MetadataDatabase) -> None:
    request = ScanRequest(collection="job_line", columns=("job_id", "kind", "text"))
    rows = [row async for batch in jobs_of(state).scan(request) for row in batch]
    assert (FACTS["jobs"]["said"], "LOG", "hello") in rows


async def test_nobody_but_its_starter_sees_what_a_job_left_that_kept_nothing_of_what_it_read(
    state: MetadataDatabase,
) -> None:
    source = jobs_of(state, "another")
    scans = (
        ScanRequest(collection="job_line", columns=("text",)),
        ScanRequest(collection="job_file", columns=("name",)),
        ScanRequest(collection="job", columns=("result",)),
    )
    results = [{row for batch in [rows async for rows in source.scan(scan)] for row in batch} for scan in scans]
    assert results == [set(), set(), {(None,)}]


def test_declarations_have_the_versions_they_were_started_under(state: MetadataDatabase) -> None:
    jobs = register_jobs(JOBS, acme.GROUPS)
    with state.read_connection() as connection:
        versions = dict(connection.exec_driver_sql("SELECT DISTINCT name, version FROM job").all())
        releases = connection.exec_driver_sql("SELECT DISTINCT release FROM job").scalars().all()
    assert versions.keys() == {"Walk", "WalkAlone", "Say", "Sleep", "Crash"}
    assert versions == {name: compute_job_version(jobs[name]) for name in versions}
    assert releases == [compute_release(jobs)]


async def test_queued_jobs_are_run(folder: Path) -> None:
    jobs = FACTS["jobs"]
    async with open_application(folder, JOBS, at_once=True, now=lambda: LATER) as app:
        assert app.row(jobs["running"])["state"] == "RUNNING"
        assert (await app.wait_ended(jobs["queued"]))["state"] == "SUCCEEDED"
        assert (await app.wait_ended(jobs["waiting"]))["state"] == "SUCCEEDED"
        assert app.lines(jobs["queued"]) == [("LOG", "later")]


def test_the_audit_log_is_verified_and_read(folder: Path) -> None:
    assert verify_folder(folder / "journal") == VerificationResult(files=1, records=11)
    results = list(read_records(folder / "journal"))
    assert [result["outcome"] for result in results] == [
        "answered", "partial", "refused", "answered", "partial", "refused", "unauthenticated", "limited", "failed",
        "crashed", "cancelled",
    ]  # fmt: skip
    assert results[1]["withheld"] == [{"field": "Customer.creditLimit", "reason": "Customer.creditLimit"}]
    assert results[-1]["changes"] == [
        {"id": "C", "type": "Customer", "row": "r", "verb": "update", "state": "DONE", "before": "b", "after": None}
    ]


async def test_the_audit_log_is_a_connector(folder: Path) -> None:
    source = AuditLogConnector(folder / "journal")
    columns = tuple(source.capabilities("requests").columns)
    (batch,) = [item async for item in source.scan(ScanRequest(collection="requests", columns=columns))]
    assert dict(zip(columns, batch[-1], strict=True)) == {
        "id": "06BWTWASM6G00000000000000A", "time": datetime(2026, 11, 1, 12, 0, 10, tzinfo=UTC), "surface": "graphql",
        "outcome": "CANCELLED", "status": 200, "person_id": "P1", "key_id": "Key012345678", "secret": None,
        "groups": ("everyone", "finance"), "grants": ("g",), "operation": "Q", "operation_hash": "h",
        "text": "{ a(b: $) }",
        "variables": '{"a":"vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"}', "fields": ("Customer.name",),
        "fields_used": ("Customer.id",), "fields_withheld": ("Customer.total",), "fields_attempted": (),
        "sources": ("warehouse",), "rows": 3,
        "bytes": 5, "ms": 1.25, "schema_version": "s", "client_request_id": "theirs",
        "subscription": "06BWTW9KFG0000000000000000", "events": 9, "count": 1, "reason": None,
    }  # fmt: skip


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[AuditLog]:
    (tmp_path / "journal").mkdir()
    audit_log = open_audit_log(tmp_path / "journal", LATER)
    yield audit_log
    audit_log.close()


def build_executor(journal: AuditLog) -> AuditedExecutor:
    small = replace(build_acme(), version="04bc0ab", limits=Limits(first_max=10, first_default=5))
    return AuditedExecutor(engine=acme.open_engine(small), audit_log=journal, redaction_key=b"a key of records")


async def test_an_export_goes_on_where_it_stopped(folder: Path, journal: AuditLog) -> None:
    store, executor = FolderExportStore(folder / "exports"), build_executor(journal)
    plan = store.load_plan("e1")
    assert plan is not None
    assert [omitted_column.name for omitted_column in plan.omitted_columns] == ["creditLimit"]
    before = store.list_parts("e1", 1)
    assert [(item.rows, item.is_last) for item in before] == [(20, False), (20, False)]
    request = ExportRequest(text=plan.request.text, operation="Q", format=Format.JSONL)
    assert await start_export(executor, store, acme.caller("support"), "e1", request) == plan
    summary = await run_export(ExportRun(executor=executor, store=store, host=build_host("support"), plan=plan))
    anew = await start_export(executor, store, acme.caller("support"), "e3", request)
    whole = await run_export(ExportRun(executor=executor, store=store, host=build_host("support"), plan=anew))
    assert (summary.state, summary.rows) == (ExportState.DONE, whole.rows)
    assert store.list_parts("e1", 1)[:2] == before
    assert await body(store, "e1") == await body(store, "e3")


async def body(store: FolderExportStore, id: str) -> bytes:
    return b"".join([chunk for part in store.list_parts(id, 1) async for chunk in store.read_part(id, part)])


def test_a_cancelled_export_stays_cancelled(folder: Path) -> None:
    store = FolderExportStore(folder / "exports")
    plan = store.load_plan("e2")
    assert plan is not None
    assert len(plan.ranges) == 16
    assert summarize_export(store, plan).state is ExportState.CANCELLED


@pytest.mark.parametrize("name", CURSORS["asked"])
async def test_a_cursor_goes_on_under_the_same_schema_version(name: str) -> None:
    asked = CURSORS["asked"][name]
    engine = acme.open_engine(replace(build_acme(), version="fixed"))
    result = await acme.ask(engine, asked["text"] % f', after: "{asked["fixed"]}"', *asked["groups"])
    assert result.errors == []
    assert result.data is not None
    assert [node["id"] for node in result.data[asked["field"]]["nodes"]] == asked["next"]


@pytest.mark.parametrize("name", CURSORS["asked"])
async def test_a_cursor_of_another_schema_version_ends_and_says_so(name: str) -> None:
    """What a schema's version stands for is another since, so that those of 04bc0ab end once."""
    asked = CURSORS["asked"][name]
    assert build_acme().version != CURSORS["version"]
    result = await acme.ask(
        acme.open_engine(build_acme()), asked["text"] % f', after: "{asked["real"]}"', *asked["groups"]
    )
    assert [error.code for error in result.errors] == [ErrorCode.BAD_CURSOR]
    assert result.data is None


async def test_an_export_of_another_schema_version_ends_and_says_so(folder: Path, journal: AuditLog) -> None:
    store = FolderExportStore(folder / "exports")
    plan = store.load_plan("e1")
    assert plan is not None
    executor = AuditedExecutor(
        engine=acme.open_engine(build_acme()), audit_log=journal, redaction_key=b"a key of records"
    )
    summary = await run_export(ExportRun(executor=executor, store=store, host=build_host("support"), plan=plan))
    assert summary.state is ExportState.FAILED
    assert summary.reason == "what can be asked has changed since the export began: start it again"


@pytest.fixture
def company(tmp_path: Path) -> Path:
    """Its files as they were generated; here they end in `.txt`, as they are no part of this repository's code."""
    for path in (MADE / "company").rglob("*.*"):
        to = tmp_path / "company" / path.relative_to(MADE / "company").with_suffix(path.suffix.replace(".txt", ""))
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(path.read_bytes())
    return tmp_path / "company"


def test_an_introspection_and_its_files_are_recognized(company: Path) -> None:
    before = load_manifest(company, "shop")
    assert encode_manifest(before) == build_manifest_path(company, "shop").read_text(encoding="utf-8")
    assert [table.name for table in before.tables] == ["shop_customer", "shop_order", "shop_paid"]
    assert (before.wish.allow, before.wish.keys) == (
        ("everyone", "finance"),
        {"shop_paid": ("customer_id", "number")},
    )
    taken = plan_codegen(before.tables, before.wish, before, read_current_files(company))
    assert (taken.changes, taken.edited, taken.remove) == ((), {}, ())
    assert taken.manifest.wish == before.wish
    assert taken.manifest.tables == before.tables


def build_change(number: int, collection: str, verb: ChangeKind, **more: Any) -> RowChange:
    return RowChange(id=f"0BCDEFGHJKMNPQRSTVWXYZ0123-{number}", collection=collection, kind=verb, **more)


async def test_a_database_knows_what_was_changed_in_it(folder: Path) -> None:
    options = SqliteOptions(path=f"{folder}/marked.sqlite", writable=("customer",), versions={"customer": "version"})
    source = await connect(options)
    try:
        changes = [
            await source.find_change(
                build_change(number, "customer", ChangeKind.UPDATE, key={"id": 1}, values={"name": "Cyd"})
            )
            for number in (1, 2, 3, 4)
        ]
    finally:
        await source.close()
    assert [change and (change.before, change.after) for change in changes] == [
        (None, {"id": 1, "name": "Ada", "version": 1}),
        ({"id": 1, "name": "Ada", "version": 1}, {"id": 1, "name": "Bob", "version": 2}),
        None,
        None,
    ]


async def test_a_folder_knows_what_was_changed_in_it(tmp_path: Path) -> None:
    """Version control keeps no attributes of files, so it is set here."""
    if not supports_markers(tmp_path):
        pytest.skip("this file system keeps no attributes")
    (tmp_path / "note.txt").write_text("two")
    os.setxattr(tmp_path / "note.txt", FACTS["folder"]["attribute"][0], FACTS["folder"]["line"].encode())
    source = await folder_connected(FolderOptions(path=tmp_path, pattern="{name}", writable=True))
    key, values = {"id": "note.txt"}, {"text": "one"}
    try:
        changes = [
            await source.find_change(build_change(number, "files", ChangeKind.PUT, key=key, values=values))
            for number in (1, 2, 3)
        ]
    finally:
        await source.close()
    assert [change is not None for change in changes] == [True, True, False]
