"""Everything stored on disks, in databases and at vendors has the names that commit 04bc0ab gave it.

Each literal stands for bytes that somebody has stored: a change needs a migration, not another literal.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from auth.key_format import derive_demo_key, format_key, hash_secret, parse_key
from onedoor.audit.log import build_header, link_line
from onedoor.audit.record import (
    AuditedChange,
    AuditOutcome,
    AuditRecord,
    ConnectorUsage,
    DeniedField,
    derive_redaction_key,
    to_line,
)
from onedoor.audit.settings import RecordsSettings
from onedoor.codegen.models import (
    CodegenOptions,
    DescribedColumn,
    DescribedReference,
    DescribedTable,
    Manifest,
    decode_manifest,
    encode_manifest,
)
from onedoor.config import ExportsSettings, IntrospectionMode, ServerSettings, StateSettings
from onedoor.connectors.azure.connector import AzureBlobOptions, AzureFilesOptions
from onedoor.connectors.datadog.connector import DatadogOptions
from onedoor.connectors.drive.connector import DriveOptions
from onedoor.connectors.drive.uploads import PROPERTIES_FIELD
from onedoor.connectors.drive.writes import MARKER_PREFIX
from onedoor.connectors.files.folder import MARKER_ATTRIBUTE, FolderOptions
from onedoor.connectors.files.model import HIDDEN_PREFIX
from onedoor.connectors.files.s3 import S3Options
from onedoor.connectors.files.writes import MARKER_NAME, hash_change_id
from onedoor.connectors.graphql.connector import GraphQLOptions
from onedoor.connectors.prometheus.connector import PrometheusOptions
from onedoor.connectors.redis_cache import KEY_PREFIX
from onedoor.connectors.registry import CONNECTORS
from onedoor.connectors.rest.connector import RestOptions
from onedoor.connectors.slack.connector import SlackOptions
from onedoor.connectors.slack.writes import MARKER_EVENT_TYPE
from onedoor.connectors.snowflake.options import SnowflakeOptions
from onedoor.connectors.sql.mysql import MysqlOptions
from onedoor.connectors.sql.postgresql import PostgresqlOptions
from onedoor.connectors.sql.sqlite import SqliteOptions
from onedoor.connectors.sql.write_model import MARKER_TABLE_NAME
from onedoor.connectors.value_checks import encode_outcome
from onedoor.exports import models
from onedoor.exports.job import EXPORT_JOB, SHARE_JOB, ExportInput, ExportOutput, ExportShareInput, declare_export_jobs
from onedoor.exports.models import (
    ExportColumn,
    ExportPart,
    ExportPlan,
    ExportRequest,
    ExportResult,
    ExportState,
    Format,
    KeyRange,
    OmittedColumn,
)
from onedoor.exports.storage import CLAIM_FILE, MANIFEST_FILE, NEW_PART_FILE, PLAN_FILE, RESULT_FILE, FolderExportStore
from onedoor.http.persisted_documents import PersistedDocumentSettings
from onedoor.jobs.codecs import build_instance, decode_step_result, described, dump_instance, encode_step_result
from onedoor.jobs.declarations import Job
from onedoor.jobs.models import Dispatch, JobSettings, LineKind, RunState
from onedoor.jobs.queue import APPLICATION_NAME, CHILD_QUEUE, JOB_QUEUE, WORKFLOW_NAME
from onedoor.jobs.registry import compute_job_version, compute_release
from onedoor.model.catalog import Limits
from onedoor.mutations.intents import (
    HistoryRow,
    Intent,
    IntentOutcome,
    IntentState,
    StepAttempt,
    StepOutcome,
    decode_change,
    decode_value,
    encode_change,
    encode_value,
)
from onedoor.mutations.ledger import Ledger
from onedoor.mutations.ledger_sql import HistoryQuery
from onedoor.query import cursors
from onedoor.runtime.row_cache import CacheSettings
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import ChangeKind, ChangeResult, RowChange
from onedoor.spi.scan import SortKey
from onedoor.storage.database import MIGRATIONS_FOLDER, open_database

PEPPER = b"a pepper of at least thirty-two characters"
AT = datetime(2026, 11, 1, 12, 30, 15, 123_456, tzinfo=UTC)

RECORD = AuditRecord(
    id="06BWTW0000000000000000000A", time="2026-11-01T12:30:15.123456+00:00", surface="graphql",
    outcome=AuditOutcome.PARTIAL, status=200, person="P1", key_id="Key012345678", groups=("everyone", "finance"),
    grants=("g",), operation="Q", operation_hash="0f", document="d", text="{ a(b: $) }", literals=("l",),
    variables={"a": {"b": "h"}}, fields=("Customer.name",), fields_used=("Customer.id",),
    withheld=(DeniedField(field="Customer.total", reason="Customer.total"),),
    sources=(ConnectorUsage(source="shop", collection="customer", calls=2, cached=1, rows=3, outgrown=4, ms=0.5),),
    rows=3, bytes=5, ms=1.25, schema_version="s", policy_version="p", client_request_id="theirs",
    changes=(AuditedChange(id="C", type="Customer", row="r", verb="update", state="DONE", before="b", after="a"),),
    subscription="06BWTW0000000000000000000B", events=9,
)  # fmt: skip
RECORD_LINE = (
    b'{"id":"06BWTW0000000000000000000A","time":"2026-11-01T12:30:15.123456+00:00","surface":"grap'
    b'hql","outcome":"partial","status":200,"person":"P1","key_id":"Key012345678","groups":["every'
    b'one","finance"],"grants":["g"],"operation":"Q","operation_hash":"0f","document":"d","text":"'
    b'{ a(b: $) }","literals":["l"],"variables":{"a":{"b":"h"}},"fields":["Customer.name"],"fields'
    b'_used":["Customer.id"],"withheld":[{"field":"Customer.total","reason":"Customer.total"}],"so'
    b'urces":[{"source":"shop","collection":"customer","calls":2,"cached":1,"rows":3,"outgrown":4,'
    b'"ms":0.5}],"rows":3,"bytes":5,"ms":1.25,"schema_version":"s","policy_version":"p","client_re'
    b'quest_id":"theirs","changes":[{"id":"C","type":"Customer","row":"r","verb":"update","state":'
    b'"DONE","before":"b","after":"a"}],"subscription":"06BWTW0000000000000000000B","events":9}'
)

INTENT = Intent(
    id="I", person="P", key_id="K", groups=("everyone", "finance"), mutation="openAccount", idempotency_key="once",
    body=b"body", input="input", reason="why", record="R", steps=3, leads="I-1", begun_at=AT, state=IntentState.OPEN,
    stands=None,
)  # fmt: skip
STEP_ATTEMPT = StepAttempt(
    number=2, attempt=1, change_id="I-2", name="entry", source="bank", collection="account", verb="create",
    change="change", begun_at=AT, outcome=StepOutcome.APPLIED, before="before", after="after", why="because",
)  # fmt: skip
HISTORY_ROW = HistoryRow(
    id="I-2", intent_id="I", type="Account", row="7", verb="create", state=IntentState.DONE, version_before="1",
    version_after="2", before="before", after="after", at=AT, person="P", reason="why", mutation="openAccount",
    record="R",
)  # fmt: skip
MOMENT = 1_793_536_215_123_456

EXPORT_REQUEST = ExportRequest(
    text="{ a }", variables={"n": [1]}, operation="Q", format=Format.PARQUET, all_or_nothing=True
)
EXPORT_PLAN = ExportPlan(
    id="e1", person="P", key_id="K", started="2026-11-01T12:30:15.123456+00:00", request=EXPORT_REQUEST,
    columns=(
        ExportColumn(
            name="a.b", path=("a", "b"), scalar="", is_list=True, enum_members=("X",),
            item_columns=(ExportColumn(name="c", path=("c",), scalar="ID"),),
        ),
    ),
    omitted_columns=(OmittedColumn(name="d", reason="it is withheld", position="A.d"),),
    ranges=(KeyRange(number=1, after="x", before="y"),), rows=7,
)  # fmt: skip
EXPORT_PLAN_JSON = (
    b'{"id":"e1","person":"P","key_id":"K","started":"2026-11-01T12:30:15.123456+00:00","wish":{"t'
    b'ext":"{ a }","variables":{"n":[1]},"operation":"Q","format":"PARQUET","all_or_nothing":true}'
    b',"columns":[{"name":"a.b","path":["a","b"],"scalar":"","many":true,"members":["X"],"inner":['
    b'{"name":"c","path":["c"],"scalar":"ID","many":false,"members":[],"inner":[]}]}],"left_out":['
    b'{"name":"d","reason":"it is withheld","position":"A.d"}],"ranges":[{"number":1,"after":"x","'
    b'before":"y"}],"rows":7}'
)
PART = ExportPart(range_number=1, number=2, rows=3, bytes=4, sha256="0f", cursor="c", is_last=True)
PART_JSON = b'{"range":1,"number":2,"rows":3,"bytes":4,"sha256":"0f","cursor":"c","last":true}'
EXPORT_RESULT = ExportResult(state=ExportState.CANCELLED, reason="it was cancelled")
EXPORT_RESULT_JSON = b'{"state":"CANCELLED","reason":"it was cancelled"}'

LOCK = Manifest(
    wish=CodegenOptions(
        source="shop", allow=("everyone",), owner="shop team", tables=("shop_*",), keys={"paid": ("id", "line")},
        strip="shop_", only=("tag",), given={"owner": "acme"}, base_url="https://shop.example", headers=("x-api-key",),
    ),
    tables=(
        DescribedTable(
            name="shop_order", key=("id",), comment="Orders.", view=True, needs=("day",), declared="[a]",
            columns=(
                DescribedColumn(
                    name="tier", kind=ColumnType.TEXT, nullable=True, large=True, comment="How.", values=("GOLD",),
                    enum="tier",
                ),
            ),
            references=(DescribedReference(columns=("a",), to="shop_customer", there=("id",), alone=True),),
        ),
    ),
    files={"schema/order.py": "0f"},
)  # fmt: skip
LOCK_TEXT = (
    "{\n"
    ' "wish": {\n'
    '  "source": "shop",\n'
    '  "allow": [\n'
    '   "everyone"\n'
    "  ],\n"
    '  "owner": "shop team",\n'
    '  "tables": [\n'
    '   "shop_*"\n'
    "  ],\n"
    '  "keys": {\n'
    '   "paid": [\n'
    '    "id",\n'
    '    "line"\n'
    "   ]\n"
    "  },\n"
    '  "strip": "shop_",\n'
    '  "only": [\n'
    '   "tag"\n'
    "  ],\n"
    '  "given": {\n'
    '   "owner": "acme"\n'
    "  },\n"
    '  "base_url": "https://shop.example",\n'
    '  "headers": [\n'
    '   "x-api-key"\n'
    "  ]\n"
    " },\n"
    ' "tables": [\n'
    "  {\n"
    '   "name": "shop_order",\n'
    '   "columns": [\n'
    "    {\n"
    '     "name": "tier",\n'
    '     "kind": "text",\n'
    '     "nullable": true,\n'
    '     "large": true,\n'
    '     "comment": "How.",\n'
    '     "values": [\n'
    '      "GOLD"\n'
    "     ],\n"
    '     "enum": "tier"\n'
    "    }\n"
    "   ],\n"
    '   "key": [\n'
    '    "id"\n'
    "   ],\n"
    '   "references": [\n'
    "    {\n"
    '     "columns": [\n'
    '      "a"\n'
    "     ],\n"
    '     "to": "shop_customer",\n'
    '     "there": [\n'
    '      "id"\n'
    "     ],\n"
    '     "alone": true\n'
    "    }\n"
    "   ],\n"
    '   "comment": "Orders.",\n'
    '   "view": true,\n'
    '   "needs": [\n'
    '    "day"\n'
    "   ],\n"
    '   "declared": "[a]"\n'
    "  }\n"
    " ],\n"
    ' "files": {\n'
    '  "schema/order.py": "0f"\n'
    " }\n"
    "}\n"
)

TABLES = {
    "alembic_version": "version_num",
    "person": "id first_name last_name email email_folded created_at deactivated_at attributes owner_group",
    "membership": "person_id group_name since source confirmed_at",
    "membership_period": "person_id group_name since added_by added_reason added_record "
    "until removed_by removed_reason removed_record source",
    "key": "id person_id digest demo created_at expires_at revoked_at secret rotated_at previous_digest "
    "previous_secret previous_until grace used_at",
    "directory_user": "id source external_id user_name user_name_folded active person_id resource version "
    "created_at modified_at",
    "directory_group": "id source external_id display_name resource version created_at modified_at",
    "directory_member": "group_id member_id is_group display",
    "directory_person": "person_id source since",
    "directory_sync": "id source started_at ended_at state failure decided_by decided_reason decided_record decided_at",
    "directory_change": "id sync_id source at kind subject person_id group_name detail record_id",
    "directory_progress": "source holder held_until marks compared_at",
    "access_grant": "id group_name person_id state requested_at requested_by requested_reason requested_record "
    "starts_at duration decided_at decided_by decided_reason decided_record active_since ends_at slot "
    "fencing_token forced_by ended_at ended_by ended_reason ended_record ending",
    "directory_identity": "issuer subject person_id created_at",
    "key_claim": "id person_id digest created_at expires_at used_at revoked_at",
    "administrative_change": "record_id type subject verb person_id at actor reason",
    "intent": "id person key_id groups mutation idempotency_key body input reason record steps "
    "leads begun_at lease_until owner state stands fencing_tokens",
    "intent_step": "intent_id number attempt change_id name source collection verb change "
    "begun_at outcome before after why",
    "change": "id intent_id type row verb state version_before version_after before after at "
    "person reason mutation record",
    "event": "id topic topic_key row_id at",
    "sqlite_sequence": "name seq",
    "job": "id name person_id person_name key_id record_id reason idempotency_key parent_id input "
    "version state epoch release dispatched worker_id alone alone_now done total attempts "
    "failures takeovers lines created_at due_at started_at ended_at cancel_at cancelled_by "
    "result error reads_known grants",
    "job_read": "job_id coordinate by_starter",
    "job_line": "job_id number at kind text",
    "job_step": "job_id name result at",
    "job_file": "job_id name content_type size sha256 content at",
    "job_worker": "id host release beat since",
}
INDEXES = [
    "access_grant_by_person",
    "access_grant_one_holder",
    "access_grant_one_request",
    "access_grant_token",
    "administrative_change_by_person",
    "change_by_record",
    "change_by_row",
    "directory_change_by_kind",
    "directory_change_by_sync",
    "directory_group_by_name",
    "directory_member_by_member",
    "directory_sync_by_source",
    "directory_user_by_external_id",
    "event_at",
    "intent_by_key",
    "intent_one_each",
    "intent_open",
    "job_by_record",
    "job_idempotency_unique",
    "job_parent",
    "job_read_coordinate",
    "job_state",
    "key_claim_by_person",
    "key_one_each",
    "membership_by_group",
]


def state_rows(folder: Path, sql: str) -> list[dict[str, object]]:
    with closing(sqlite3.connect(folder / "state.sqlite")) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(sql)]


def test_the_tables_of_the_metadata_database_and_their_columns(tmp_path: Path) -> None:
    open_database(f"sqlite:///{tmp_path}/state.sqlite", PEPPER).close()
    names = [str(row["name"]) for row in state_rows(tmp_path, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    columns = {
        name: " ".join(str(row["name"]) for row in state_rows(tmp_path, f"PRAGMA table_info({name})")) for name in names
    }
    assert columns == TABLES
    indexes = state_rows(tmp_path, "SELECT name FROM sqlite_master WHERE type = 'index' AND name NOT LIKE 'sqlite_%'")
    assert sorted(str(row["name"]) for row in indexes) == INDEXES
    assert state_rows(tmp_path, "SELECT version_num FROM alembic_version") == [{"version_num": "identities"}]


def test_the_revisions_of_the_metadata_database() -> None:
    revisions = ScriptDirectory(str(MIGRATIONS_FOLDER)).walk_revisions()
    assert [(revision.revision, revision.down_revision) for revision in revisions] == [
        ("identities", "key_claims"),
        ("key_claims", "access_grants"),
        ("access_grants", "directories"),
        ("directories", "sources_and_secrets"),
        ("sources_and_secrets", "membership_periods"), ("membership_periods", "record_indexes"),
        ("record_indexes", "job_reads"), ("job_reads", "jobs"),
        ("jobs", "events_0001"),
        ("events_0001", "changes_ledger"), ("changes_ledger", "0001"), ("0001", None),
    ]  # fmt: skip


def test_an_audit_record_is_written_under_these_keys() -> None:
    assert to_line(RECORD) == RECORD_LINE


def test_an_audit_record_that_json_cannot_hold_is_written_under_the_same_keys() -> None:
    record = AuditRecord(
        id=RECORD.id, time=RECORD.time, surface="graphql", outcome=AuditOutcome.PARTIAL, status=200,
        operation="\ud800", withheld=RECORD.withheld, sources=RECORD.sources, changes=RECORD.changes,
    )  # fmt: skip
    assert to_line(record) == UNHOLDABLE_LINE


UNHOLDABLE_LINE = (
    b'{"id":"06BWTW0000000000000000000A","time":"2026-11-01T12:30:15.123456+00:00","surface":"grap'
    b'hql","outcome":"partial","status":200,"person":null,"key_id":null,"groups":[],"grants":[],"o'
    b'peration":"?","operation_hash":null,"document":null,"text":null,"literals":[],"variables":nu'
    b'll,"fields":[],"fields_used":[],"withheld":[{"field":"Customer.total","reason":"Customer.tot'
    b'al"}],"sources":[{"source":"shop","collection":"customer","calls":2,"cached":1,"rows":3,"out'
    b'grown":4,"ms":0.5}],"rows":0,"bytes":0,"ms":0.0,"schema_version":null,"policy_version":null,'
    b'"client_request_id":null,"changes":[{"id":"C","type":"Customer","row":"r","verb":"update","s'
    b'tate":"DONE","before":"b","after":"a"}],"subscription":null,"events":null}'
)


def test_an_audit_log_begins_and_is_chained_under_these_keys() -> None:
    assert (
        build_header("2026-11-01T12:00:00.000000+00:00", 7)
        == b'{"journal":"onedoor","version":1,"started":"2026-11-01T12:00:00.000000+00:00","process":7}'
    )
    assert link_line(b'{"id":"1"}', "0" * 64) == b'{"prev":"' + b"0" * 64 + b'","id":"1"}'


async def test_the_ledger_stores_its_rows_in_these_columns_and_reads_them_back(tmp_path: Path) -> None:
    state = open_database(f"sqlite:///{tmp_path}/state.sqlite", PEPPER, now=lambda: AT)
    ledger = Ledger(state, lease_seconds=10.0)
    try:
        assert await ledger.begin_intent(INTENT, [STEP_ATTEMPT]) is None
        assert await ledger.find_intent("I") == INTENT
        assert await ledger.load_attempts("I") == (STEP_ATTEMPT,)
        await ledger.end_intent(
            IntentOutcome(
                intent_id="I", state=IntentState.PARTIALLY_APPLIED, stands="half", attempts=(), history=(HISTORY_ROW,)
            )
        )
        assert await ledger.read_history(HistoryQuery(type="Account")) == (HISTORY_ROW,)
    finally:
        ledger.close()
        state.close()
    assert state_rows(tmp_path, "SELECT * FROM intent") == [
        {
            "id": "I", "person": "P", "key_id": "K", "groups": '["everyone", "finance"]', "mutation": "openAccount",
            "idempotency_key": "once", "body": b"body", "input": "input", "reason": "why", "record": "R", "steps": 3,
            "leads": "I-1", "begun_at": MOMENT, "lease_until": MOMENT + 10_000_000, "owner": ledger.owner,
            "state": "PARTLY", "stands": "half", "fencing_tokens": "{}",
        }
    ]  # fmt: skip
    assert state_rows(tmp_path, "SELECT * FROM intent_step") == [
        {
            "intent_id": "I", "number": 2, "attempt": 1, "change_id": "I-2", "name": "entry", "source": "bank",
            "collection": "account", "verb": "create", "change": "change", "begun_at": MOMENT, "outcome": "MADE",
            "before": "before", "after": "after", "why": "because",
        }
    ]  # fmt: skip
    assert state_rows(tmp_path, "SELECT * FROM change") == [
        {
            "id": "I-2", "intent_id": "I", "type": "Account", "row": "7", "verb": "create", "state": "DONE",
            "version_before": "1", "version_after": "2", "before": "before", "after": "after", "at": MOMENT,
            "person": "P", "reason": "why", "mutation": "openAccount", "record": "R",
        }
    ]  # fmt: skip


def test_a_change_and_its_result_are_encoded_in_these_texts() -> None:
    change = RowChange(
        id="I-1", collection="account", kind=ChangeKind.CREATE, key={"id": 7},
        values={"name": "Ada", "sum": Decimal("1.50")}, version="3",
    )  # fmt: skip
    packed = CHANGE_TEXT
    assert encode_change(change) == packed
    assert decode_change(packed, "I-1", "account", "create") == change
    held = {"a": (1, ChangeKind.PUT), "b": AT, "c": AT.date(), "d": 2**64, "e": float("inf"), "f": None}
    assert encode_value(held) == PACKED_TEXT
    assert decode_value(encode_value(held)) == {**held, "a": (1, "put")}
    assert (
        encode_outcome(ChangeResult(before=None, after={"id": 1, "sum": Decimal("1.50")}))
        == '{"before":null,"after":{"id":1,"sum":["decimal","1.50"]}}'
    )


CHANGE_TEXT = (
    '["object",{"key":["object",{"id":7}],"values":["object",{"name":"Ada","sum":["decimal","1.50"]}],"version":"3"}]'
)
PACKED_TEXT = (
    '["object",{"a":["list",[1,"put"]],"b":["time","2026-11-01T12:30:15.123456+00:00"],"c":["date","2026-11-01"]'
    ',"d":["integer","18446744073709551616"],"e":["float","inf"],"f":null}]'
)


def test_the_result_of_a_step_is_encoded_in_these_texts() -> None:
    held = {"a": [1, Decimal("2.5")], "b": AT}
    assert (
        encode_step_result(held)
        == '{"a":["items",[1,["decimal","2.5"]]],"b":["time","2026-11-01T12:30:15.123456+00:00"]}'
    )
    assert decode_step_result(encode_step_result(held)) == held


def test_the_plan_and_the_result_of_an_export_have_these_keys() -> None:
    assert (models.encode_plan(EXPORT_PLAN), models.parse_plan(EXPORT_PLAN_JSON)) == (EXPORT_PLAN_JSON, EXPORT_PLAN)
    assert (models.encode_part(PART), models.parse_part(PART_JSON)) == (PART_JSON, PART)
    assert (models.encode_result(EXPORT_RESULT), models.parse_result(EXPORT_RESULT_JSON)) == (
        EXPORT_RESULT_JSON,
        EXPORT_RESULT,
    )


def test_an_export_is_stored_in_files_of_these_names(tmp_path: Path) -> None:
    store = FolderExportStore(tmp_path)
    assert store.add_plan(EXPORT_PLAN)
    store.new_part_path("e1", 1).write_bytes(b"a")
    store.add_part("e1", PART, store.new_part_path("e1", 1))
    store.add_result("e1", EXPORT_RESULT)
    results = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert results == ["e1/ended.json", "e1/range-0001/manifest.jsonl", "e1/range-0001/part-00002", "e1/stated.json"]
    assert (PLAN_FILE, RESULT_FILE, MANIFEST_FILE, CLAIM_FILE, NEW_PART_FILE) == (
        "stated.json", "ended.json", "manifest.jsonl", "claim", "fresh",
    )  # fmt: skip


def test_an_introspection_is_stored_under_these_keys() -> None:
    assert encode_manifest(LOCK) == LOCK_TEXT
    assert decode_manifest(LOCK_TEXT, "shop.json") == LOCK


def test_the_declarations_of_an_export_have_these_versions(tmp_path: Path) -> None:
    jobs = {job.name: job for job in declare_export_jobs(FolderExportStore(tmp_path))}
    assert (EXPORT_JOB, SHARE_JOB) == ("Export", "ExportShare")
    assert {name: compute_job_version(job) for name, job in jobs.items()} == {
        "Export": "1e82de075b4a2546bc2dac47e19af033632cd3450aa808b9344946282962a96b",
        "ExportShare": "2c9bee9963639cfce18b70480750a6a1b78ef659583ca6e052bdd7302e536f0a",
    }
    assert compute_release(jobs) == "b2cfb4093fca19d37825da153e06aecc1d8cc7059db13d78dfc584bf5066240b"


def test_the_input_and_the_output_of_an_export_have_these_keys() -> None:
    given = ExportInput(query="{ a }", variables={"n": 1}, operation_name="Q", format=Format.CSV, all_or_nothing=True)
    keys = {"query": "{ a }", "variables": {"n": 1}, "operationName": "Q", "format": "CSV", "allOrNothing": True}
    assert dump_instance(given) == keys
    assert build_instance(ExportInput, keys) == given
    assert dump_instance(ExportOutput(rows=1, files=("a",), left_out=("b",))) == {
        "rows": 1, "files": ["a"], "leftOut": ["b"],
    }  # fmt: skip
    assert dump_instance(ExportShareInput(export="e1")) == {"export": "e1"}


def test_the_queue_of_jobs_has_these_names() -> None:
    assert (APPLICATION_NAME, WORKFLOW_NAME, JOB_QUEUE, CHILD_QUEUE) == ("onedoor", "job", "jobs", "parts")
    assert Dispatch(id="J", epoch=0, is_child=False, release="r").workflow_id == "J"
    assert Dispatch(id="J", epoch=2, is_child=False, release="r").workflow_id == "J.2"


VALUES = [
    pytest.param(
        AuditOutcome,
        [
            "answered",
            "partial",
            "refused",
            "unauthenticated",
            "limited",
            "failed",
            "crashed",
            "cancelled",
            "begun",
            "lost",
        ],
        id="outcomes of requests",
    ),
    pytest.param(IntentState, ["OPEN", "DONE", "TRIED", "NOT_MADE", "UNDONE", "PARTLY"], id="states of changes"),
    pytest.param(StepOutcome, ["BEGUN", "MADE", "NOT_MADE", "UNDONE", "UNKNOWN"], id="outcomes of steps"),
    pytest.param(ChangeKind, ["create", "update", "put", "delete"], id="verbs"),
    pytest.param(
        RunState, ["WAITING", "QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "REFUSED"], id="states of jobs"
    ),
    pytest.param(LineKind, ["LOG", "OUTPUT", "ERROR"], id="lines of jobs"),
    pytest.param(Format, ["CSV", "JSONL", "PARQUET", "ARROW"], id="formats of exports"),
    pytest.param(ExportState, ["DONE", "REFUSED", "FAILED", "CANCELLED"], id="states of exports"),
    pytest.param(
        ColumnType, ["text", "integer", "float", "decimal", "boolean", "date", "time", "list"], id="kinds of columns"
    ),
    pytest.param(IntrospectionMode, ["full", "own"], id="introspection"),
]


@pytest.mark.parametrize(("of", "values"), VALUES)
def test_the_stored_values_of_enums(of: Iterable[StrEnum], values: list[str]) -> None:
    assert [item.value for item in of] == values


def test_the_markers_at_vendors_and_in_databases() -> None:
    assert (MARKER_TABLE_NAME, MARKER_EVENT_TYPE) == ("onedoor_change", "onedoor_change")
    assert (MARKER_NAME, MARKER_ATTRIBUTE) == ("onedoor_changes", "user.onedoor_changes")
    assert (PROPERTIES_FIELD, MARKER_PREFIX) == ("appProperties", "onedoor-")
    assert (HIDDEN_PREFIX, KEY_PREFIX) == (".onedoor-", b"onedoor:")
    assert hash_change_id("I-1") == "2e0b84651af14e405ffcb3c178182dcb"


async def test_the_digests_that_the_pepper_keys(tmp_path: Path) -> None:
    assert derive_redaction_key(PEPPER).hex() == "28b5b8feaa10c611248eca8fcb502eb2d86bf811a4a98f1277ed57891e07f04c"
    assert (
        format_key(derive_demo_key(PEPPER, "finance"))
        == "od_MqvnmKueOzZp_Uzk89NhP8naESdzDy1J5FXqQuTQ5n7KM5pXzUY7AXim_3HCkem"
    )
    assert hash_secret(PEPPER, "secret").hex() == "87cf09bc824313651c0cc80e5af5d2f210039542d2fa205e492a1633abca07c8"
    cursor_secret = cursors.derive_cursor_secret(PEPPER).hex()
    assert cursor_secret == "cce69086e3958aad2b0cbe88c1c2d4f35b8bffc7bf86c6cd0e0893c824512dd0"
    state = open_database(f"sqlite:///{tmp_path}/state.sqlite", PEPPER)
    ledger = Ledger(state)
    try:
        assert ledger.digest("a body").hex() == "d1fed00225d22933fb4868951e792ddb3f7ec86d51358e5ac344a5f6e806508c"
    finally:
        ledger.close()
        state.close()


def test_a_key_is_read() -> None:
    assert parse_key(format_key(derive_demo_key(PEPPER, "finance"))) == derive_demo_key(PEPPER, "finance")


def test_the_bytes_of_a_cursor() -> None:
    order = (SortKey("credit_limit", nulls_first=True), SortKey("name", descending=True), SortKey("id"))
    where = {"name": {"eq": "Ada"}, "and": [{"since": {"gt": AT.date()}}, {"sum": {"in": [Decimal("1.50")]}}]}
    key = cursors.derive_former_cursor_key(b"a secret", "04bc0ab", "Query.customers", order, where)
    assert key.hex() == "71ed24e2dbfc42b0a1ebb19f546aa44caada5221a835131dc2c205ec16a77b66"
    values = (Decimal("1.50"), "Ada", 7)
    signed = "SZftimYEDzcsbnowaaF3RVsiMS41MCIsIkFkYSIsN10"
    sealed = "AVFusdTynni45cduyUf9mNX8fJ-2YW0MwgdjjvNkjzC4oidDrQbq-SJQ7pVG"
    assert cursors.encode_cursor(values, key) == sealed
    for text in (sealed, signed):
        assert cursors.decode_cursor(text, (ColumnType.DECIMAL, ColumnType.TEXT, ColumnType.INTEGER), key) == values


def test_the_key_of_a_cursor_of_one_column_or_none() -> None:
    assert (
        cursors.derive_cursor_key(b"a secret", "", "Query.a", (SortKey("id"),), None).hex()
        == "3f9e4c5f8324e773ba932791c85dd7ca706b2d541e83a6f60b09478ee31552e3"
    )
    assert (
        cursors.derive_former_cursor_key(b"a secret", "", "Query.a", (), {}).hex()
        == "3ab5dfb617230196a558f013f794301405185a35e749355e82bdc8cb3aab8f69"
    )
    assert (
        cursors.derive_former_cursor_key(b"a secret", "", "Query.a", (SortKey("it's"), SortKey('"é\n')), {}).hex()
        == "1aead08299ee1e9b6eb307f1392450f3ceec7e3c183d5e425bbabd0ccf6c3b8b"
    )


@dataclass(frozen=True, slots=True)
class RenamedSortKey(SortKey):
    """A sort key by another class name."""


def test_the_key_of_a_cursor_is_the_same_whatever_the_class_of_its_sort_keys_is_called() -> None:
    keys = {
        cursors.derive_cursor_key(b"a secret", "", "Query.a", (cls("a", True), cls("id")), None)
        for cls in (SortKey, RenamedSortKey)
    }
    assert len(keys) == 1


class OutputFormat(StrEnum):
    CSV = "CSV"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputBeforeRename:
    format: Format = described("", label="format", kind="Format")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputAfterRename:
    output: OutputFormat = described("", label="format", kind="Format")


async def do_nothing(context: object, job_input: object) -> None:
    """Stand in for what a job does."""


def test_the_version_of_a_job_is_the_same_whatever_its_fields_are_called() -> None:
    everyone = frozenset({"everyone"})
    versions = {
        compute_job_version(
            Job(
                name="A",
                description="",
                owner="everyone",
                may_start=everyone,
                may_see=everyone,
                input=model,
                run=do_nothing,
            )
        )
        for model in (InputBeforeRename, InputAfterRename)
    }
    assert len(versions) == 1
    assert dump_instance(InputAfterRename(output=OutputFormat.CSV)) == {"format": "CSV"}


SETTINGS = [
    pytest.param(
        PersistedDocumentSettings, "automatic automatic_bytes folder manifest trusted_only", id="DocumentsSection"
    ),
    pytest.param(CacheSettings, "bytes entries seconds url", id="CacheSection"),
    pytest.param(
        Limits,
        (
            "aliases_max bodies_a_key body_bytes body_seconds concurrency_a_key concurrency_max "
            "connection_init_timeout connections_an_address cost_max cross_source_keys_max depth_max "
            "directives_max document_characters document_tokens errors_max failed_keys_a_minute "
            "field_comparisons_max fields_max filter_depth_max first_default first_max head_bytes head_seconds "
            "heartbeat_seconds in_max introspection_depth introspection_times loop_seconds_a_minute mutations_max "
            "record_bytes_a_minute request_bytes_a_key request_seconds requests_a_minute root_fields_max "
            "rows_in_memory rows_read scratch_bytes scratch_disk_bytes source_calls source_queue source_seconds "
            "stalled_seconds subscriptions_a_key subscriptions_max tests_max variables_depth"
        ),
        id="LimitsSection",
    ),
    pytest.param(ExportsSettings, "enabled folder kept_days", id="ExportsSection"),
    pytest.param(
        RecordsSettings,
        "checkpoints compress folder holds keep_days rotate_bytes rotate_hours shipping",
        id="RecordsSection",
    ),
    pytest.param(ServerSettings, "federation host introspection origins port sql_shown_to", id="ServerSection"),
    pytest.param(StateSettings, "pepper url", id="StateSection"),
    pytest.param(
        AzureBlobOptions,
        (
            "access_key account base_url connections container pattern private_addresses read_bytes "
            "response_bytes sas_token timeout writable writable_below"
        ),
        id="AzureBlobOptions",
    ),
    pytest.param(
        AzureFilesOptions,
        (
            "access_key account base_url connections pattern private_addresses read_bytes response_bytes "
            "sas_token share timeout writable writable_below"
        ),
        id="AzureFilesOptions",
    ),
    pytest.param(
        DatadogOptions,
        (
            "api_key app_key base_url connections days health items metrics private_addresses "
            "response_bytes site tags timeout"
        ),
        id="DatadogOptions",
    ),
    pytest.param(
        DriveOptions,
        (
            "connections drive_id endpoint folder pattern read_bytes response_bytes scope "
            "service_account_key subject timeout writable writable_below"
        ),
        id="DriveOptions",
    ),
    pytest.param(FolderOptions, "connections path pattern read_bytes writable writable_below", id="FolderOptions"),
    pytest.param(
        GraphQLOptions,
        "collections connections headers private_addresses response_bytes timeout url",
        id="GraphqlOptions",
    ),
    pytest.param(
        PrometheusOptions,
        "base_url collections connections password private_addresses response_bytes timeout token user",
        id="PrometheusOptions",
    ),
    pytest.param(
        RestOptions,
        (
            "base_url collections connections described headers private_addresses redirects "
            "response_bytes timeout writable"
        ),
        id="RestOptions",
    ),
    pytest.param(
        S3Options,
        ("access_key bucket connections endpoint pattern read_bytes region secret_key timeout writable writable_below"),
        id="S3Options",
    ),
    pytest.param(SlackOptions, "base_url channel_pattern connections timeout token writable", id="SlackOptions"),
    pytest.param(
        SnowflakeOptions,
        (
            "account connections database host password port private_key private_key_passphrase protocol role schema "
            "timeout token token_file user versions warehouse writable"
        ),
        id="SnowflakeOptions",
    ),
    pytest.param(MysqlOptions, "connect_seconds connections tls url versions writable", id="MysqlOptions"),
    pytest.param(PostgresqlOptions, "connect_seconds connections url versions writable", id="PostgresqlOptions"),
    pytest.param(SqliteOptions, "connections path versions writable", id="SqliteOptions"),
    pytest.param(
        JobSettings,
        "at_once here kept_days lease_seconds line_characters lines open_most poll_seconds url",
        id="JobsSection",
    ),
]


@pytest.mark.parametrize(("section", "names"), SETTINGS)
def test_the_names_of_settings(section: type, names: str) -> None:
    """The names are those of the fields, which is why these fields are never renamed."""
    assert " ".join(sorted(field.name for field in fields(section))) == names


def test_the_kinds_of_sources() -> None:
    assert sorted(CONNECTORS) == [
        "azure_blob",
        "azure_files",
        "datadog",
        "drive",
        "folder",
        "graphql",
        "mysql",
        "postgresql",
        "prometheus",
        "rest",
        "s3",
        "slack",
        "snowflake",
        "sqlite",
    ]
