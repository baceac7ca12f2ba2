"""Build Acme at 1/100 in memory, with the capabilities of its real sources or with none."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
from graphql import DocumentNode, GraphQLSchema

from auth.authentication import Principal
from auth.groups import Groups
from auth.policy import AccessPolicy
from demo import run as demo_run
from demo.data import activity, business, files, operations
from demo.data.activity import write_log
from demo.data.business import tables
from demo.data.files import FOLDER_PATTERN as SHELF_PATTERN
from demo.data.random import size
from demo.servers.directory import build_settings
from demo.servers.drive.search import compile_relevance, match_text
from demo.servers.github import shapes
from demo.servers.github.shapes import build_organization
from onedoor.app import METADATA_COLLECTIONS
from onedoor.company import Company, CompanySchema, build_company_schema, load_company
from onedoor.config import load_schema_settings
from onedoor.connectors.access import ACCESS_SOURCE, AccessConnector
from onedoor.connectors.administration import build_import_connector, build_issued_key_connector
from onedoor.connectors.files.model import guess_media_type
from onedoor.connectors.grants import GRANT_CAPABILITIES_BY_COLLECTION
from onedoor.connectors.graphql.config import build_graphql_capabilities, parse_graphql_collections
from onedoor.connectors.jobs import JOB_CAPABILITIES
from onedoor.connectors.json_rows import convert_rows
from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.connectors.path_patterns import compile_pattern
from onedoor.connectors.principal import build_empty_principal_connector, build_principal_connector
from onedoor.connectors.rest import config, model
from onedoor.connectors.slack.message_text import compute_message_version, unescape_text
from onedoor.connectors.uploads import build_empty_upload_connector
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import ActionCall, ActionResult, Catalog, Limits, SubscriptionSource
from onedoor.model.mapping import TypeMapping
from onedoor.mutations.declarations import MutationDeclaration
from onedoor.mutations.history import HISTORY_CONNECTOR
from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine, build_query_engine
from onedoor.query.engine import RecordBeginning, execute
from onedoor.query.errors import find_request_mutation
from onedoor.runtime.budgets import Budgets
from onedoor.schema.builder import build_document, build_from_document, compute_version
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import Op, Row
from tests import change_history, file_contents, monitoring

ROOT = Path(__file__).parents[1]
GROUPS = Groups.load(ROOT / "groups.toml")
GROUP_NAMES = GROUPS.names
SCALE = Fraction(1, 100)
NOW = datetime(2026, 11, 1, tzinfo=UTC)
VENDOR = "kestrel"
UNLIMITED_RATES = Limits(
    requests_a_minute=10**6,
    failed_keys_a_minute=10**6,
    concurrency_max=10**6,
    concurrency_a_key=10**6,
    bodies_a_key=10**6,
    request_bytes_a_key=10**9,
    subscriptions_a_key=10**6,
    record_bytes_a_minute=10**12,
    loop_seconds_a_minute=1e9,
)
"""Limits for servers whose tests send more requests than a person would."""
PATIENT = Limits(request_seconds=60.0)
"""Limits of a catalog whose first request of a kind may take long beside other tests."""

TEXT, INTEGER, DECIMAL, BOOLEAN, DATE, TIME = (
    ColumnType.TEXT,
    ColumnType.INTEGER,
    ColumnType.DECIMAL,
    ColumnType.BOOLEAN,
    ColumnType.DATE,
    ColumnType.TIME,
)

INTERNAL: Mapping[str, Mapping[str, ColumnType]] = {
    "customer": {
        "id": INTEGER, "name": TEXT, "email": TEXT, "phone": TEXT, "country": TEXT, "segment": TEXT,
        "created_at": TIME, "account_manager_id": INTEGER, "credit_limit": DECIMAL, "vendor": TEXT, "version": INTEGER,
    },
    "product": {
        "id": INTEGER, "sku": TEXT, "name": TEXT, "category": TEXT, "price": DECIMAL, "discontinued": BOOLEAN,
        "version": INTEGER,
    },
    "orders": {
        "id": INTEGER, "customer_id": INTEGER, "status": TEXT, "placed_at": TIME, "total": DECIMAL, "note": TEXT,
        "version": INTEGER,
    },
    "order_item": {
        "order_id": INTEGER, "line": INTEGER, "product_id": INTEGER, "quantity": INTEGER, "unit_price": DECIMAL,
        "version": INTEGER,
    },
    "employee": {
        "id": INTEGER, "first_name": TEXT, "last_name": TEXT, "email": TEXT, "title": TEXT, "department": TEXT,
        "manager_id": INTEGER, "hired_on": DATE, "salary": DECIMAL,
    },
    "deployment": {
        "id": INTEGER, "service": TEXT, "version": TEXT, "environment": TEXT, "status": TEXT, "author_id": INTEGER,
        "started_at": TIME, "finished_at": TIME, "commit_sha": TEXT, "slack_channel_id": TEXT, "slack_ts": TEXT,
        "revision": INTEGER,
    },
}  # fmt: skip
WAREHOUSE: Mapping[str, Mapping[str, ColumnType]] = {
    "usage_day": {
        "customer_id": INTEGER, "day": DATE, "api_calls": INTEGER, "active_users": INTEGER, "storage_gb": DECIMAL,
    },
    "revenue_month": {"customer_id": INTEGER, "month": DATE, "revenue": DECIMAL, "refunds": DECIMAL},
}  # fmt: skip
CONTENT = {
    "id": TEXT, "path": TEXT, "name": TEXT, "size": INTEGER, "content_type": TEXT, "modified": TIME, "version": TEXT,
    "customer_id": INTEGER,
}  # fmt: skip
STORED = {
    "id": TEXT, "path": TEXT, "name": TEXT, "size": INTEGER, "content_type": TEXT, "modified": TIME, "version": TEXT,
    "customer_id": INTEGER, "kind": TEXT,
}  # fmt: skip
FILES = {**CONTENT, "kind": TEXT}
SHELF = {**CONTENT, "folder": TEXT}
SLACK: Mapping[str, Mapping[str, ColumnType]] = {
    "users": {
        "id": TEXT, "name": TEXT, "real_name": TEXT, "email": TEXT, "title": TEXT, "is_bot": BOOLEAN,
        "deleted": BOOLEAN,
    },
    "channels": {
        "id": TEXT, "name": TEXT, "topic": TEXT, "purpose": TEXT, "created": TIME, "archived": BOOLEAN,
        "members": INTEGER, "customer_id": INTEGER,
    },
    "messages": {
        "channel_id": TEXT, "ts": TEXT, "user_id": TEXT, "text": TEXT, "plain": TEXT, "version": TEXT, "sent_at": TIME,
    },
    "replies": {
        "channel_id": TEXT, "thread_ts": TEXT, "ts": TEXT, "user_id": TEXT, "text": TEXT, "plain": TEXT,
        "version": TEXT, "sent_at": TIME,
    },
}  # fmt: skip
DRIVE: Mapping[str, Mapping[str, ColumnType]] = {
    "files": {
        "id": TEXT, "path": TEXT, "name": TEXT, "size": INTEGER, "content_type": TEXT, "modified": TIME,
        "version": TEXT, "owner_email": TEXT, "parent_id": TEXT, "link": TEXT, "customer_id": INTEGER,
    },
    "folders": {"id": TEXT, "name": TEXT, "parent_id": TEXT, "path": TEXT},
    "permissions": {"file_id": TEXT, "id": TEXT, "kind": TEXT, "role": TEXT, "email": TEXT},
    "searches": {"text": TEXT},
    "hits": {
        "text": TEXT, "file_id": TEXT, "rank": INTEGER, "name": TEXT, "content_type": TEXT, "modified": TIME,
        "link": TEXT,
    },
}  # fmt: skip
THREAD = ("channel_id", "thread_ts")
SOUGHT = ("plan", "Renewed each year", '"renewed each year" notice', "price", "nothing says this")
"""What is searched for in Drive, as far as these rows go."""
SEARCHED = {
    "name": frozenset({Op.EQ, Op.IN}), "content_type": frozenset({Op.EQ, Op.IN}),
    "owner_email": frozenset({Op.EQ, Op.IN}),
    "modified": frozenset({Op.EQ, Op.LT, Op.LTE, Op.GT, Op.GTE}),
}  # fmt: skip

PATTERN = compile_pattern("customers/{customer_id:int}/{kind}/{name}")
EQUALITY = frozenset({Op.EQ, Op.NE, Op.IN, Op.NOT_IN, Op.IS_NULL})
ORDERED = EQUALITY | {Op.LT, Op.LTE, Op.GT, Op.GTE}
LIKE = ORDERED | {Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH}
FOLDED = LIKE | {Op.I_CONTAINS, Op.I_STARTS_WITH, Op.I_ENDS_WITH}


def sql(kinds: Mapping[str, ColumnType], text: frozenset[Op], keys: int) -> Capabilities:
    """What a database promises: all there is."""
    return Capabilities(
        columns={name: Column(kind, text if kind is TEXT else ORDERED, True) for name, kind in kinds.items()},
        max_keys=keys,
        boolean_filters=True,
        exists_filters=True,
        joins=True,
        limit=True,
        limit_per_key=True,
        aggregates=True,
    )


def by_keys(
    kinds: Mapping[str, ColumnType], *keyed: tuple[str, ...], keys: int = 50, requires: tuple[str, ...] = ()
) -> Capabilities:
    """What an API promises: to be read by some keys, and no more."""
    return Capabilities(
        columns={name: Column(kind) for name, kind in kinds.items()},
        max_keys=keys,
        key_columns=frozenset(keyed),
        required_columns=requires,
    )


def nothing(can: Capabilities) -> Capabilities:
    """The same columns, no promise."""
    return Capabilities(columns={name: Column(column.type) for name, column in can.columns.items()})


@cache
def sources() -> Mapping[str, MemoryConnector]:
    """The sources of the demo, each collection with the promises of the real one."""
    internal = {
        name: MemoryCollection(capabilities=sql(INTERNAL[name], FOLDED, 1000), rows=table.rows)
        for name, table in tables(SCALE).items()
    }
    customers = size("customer", SCALE)
    usage = {
        "usage_day": tuple(business.usage_days(customers)),
        "revenue_month": tuple(business.revenue_months(customers)),
    }
    warehoused = {
        name: MemoryCollection(capabilities=sql(WAREHOUSE[name], LIKE, 1000), rows=rows) for name, rows in usage.items()
    }
    objects = _build_store(FILES, [_file_row(file) for file in files.files(SCALE)])
    papers = _build_store(
        SHELF, [_folder_row(folder_file) for folder_file in files.folder_files(SCALE) if folder_file.text]
    )
    return {
        "internal": MemoryConnector(internal),
        "snowflake": MemoryConnector(warehoused),
        "s3": MemoryConnector(objects),
        "folder": MemoryConnector(papers),
        "slack": MemoryConnector(_slack()),
        "azure_files": MemoryConnector(_azure(files.share_files(SCALE))),
        "azure_blob": MemoryConnector(_azure(files.container_files(SCALE))),
        "drive": MemoryConnector(_drive()),
        "prometheus": monitoring.build_prometheus(SCALE),
        "datadog": monitoring.build_datadog(SCALE),
        "github": MemoryConnector(_github()),
        "directory": MemoryConnector(_directory()),
    }


def _directory() -> Mapping[str, MemoryCollection]:
    """With the promises of what the demo's settings declare."""
    declared = parse_graphql_collections(tomllib.loads(build_settings(""))["sources"]["directory"]["collections"])
    rows: Mapping[str, list[Row]] = {
        "office": [
            (office.id, office.name, office.street, office.city, office.country) for office in operations.OFFICES
        ],
        "desk": [(desk.id, desk.label, desk.floor, desk.office, desk.employee) for desk in operations.desks(SCALE)],
        "shift": [
            (shift.id, shift.service, shift.level, shift.employee, shift.starts, shift.ends)
            for shift in operations.shifts(SCALE)
        ],
    }
    return {
        name: MemoryCollection(capabilities=build_graphql_capabilities(declared[name]), rows=row)
        for name, row in rows.items()
    }


def _build_store(kinds: Mapping[str, ColumnType], rows: Sequence[Row]) -> Mapping[str, MemoryCollection]:
    files = MemoryCollection(capabilities=by_keys(kinds, ("customer_id",), ("id",)), rows=tuple(rows))
    return {"files": files, **file_contents.content_collections(row[0] for row in rows)}


def _file_row(file: files.BucketFile) -> Row:
    _, customer, folder, name = file.key.split("/")
    media = files.get_content_type(file.key).partition(";")[0]
    size, version = len(file.body), f"{len(file.body):x}"
    return file.key, file.key, name, size, media, file.modified, version, int(customer), folder


def _folder_row(paper: files.FolderFile) -> Row:
    """Not of tables, whose size depends on what writes them."""
    name, size = paper.path.rpartition("/")[2], len(paper.text.encode())
    path_values = compile_pattern(SHELF_PATTERN).match(paper.path) or {}
    media, version = guess_media_type(name), f"{size:x}"
    places = path_values.get("customer_id"), path_values.get("folder")
    return paper.path, paper.path, name, size, media, paper.modified, version, *places


def _azure(kept: Iterable[files.AzureFile]) -> Mapping[str, MemoryCollection]:
    can = by_keys(STORED, ("id",), ("customer_id",), ("customer_id", "kind"))
    rows = tuple(map(_azure_row, kept))
    return {
        "files": MemoryCollection(capabilities=can, rows=rows),
        **file_contents.content_collections(row[0] for row in rows),
    }


def _azure_row(kept: files.AzureFile) -> Row:
    values = PATTERN.match(kept.path) or {}
    return (
        kept.path, kept.path, kept.path.rpartition("/")[2], len(kept.body), kept.content_type, kept.modified,
        kept.version, values.get("customer_id"), values.get("kind"),
    )  # fmt: skip


def _slack() -> Mapping[str, MemoryCollection]:
    everyone = activity.users(SCALE)
    rooms = activity.channels(SCALE)
    result = activity.messages(SCALE)
    users = [
        (u.id, u.name, f"{u.first_name} {u.last_name}", u.email, u.title or None, u.email is None, False)
        for u in everyone
    ]
    channels = [(c.id, c.name, c.topic, None, c.created, False, len(c.members), _customer(c.name)) for c in rooms]
    tops = [
        (m.channel, m.ts, m.user, *_format_text(m.text), _parse_timestamp(m.ts)) for m in result if m.thread is None
    ]
    replies = [
        (m.channel, m.thread, m.ts, m.user, *_format_text(m.text), _parse_timestamp(m.ts))
        for m in result
        if m.thread is not None
    ]
    return {
        "users": MemoryCollection(capabilities=by_keys(SLACK["users"], ("id",), ("email",)), rows=users),
        "channels": MemoryCollection(capabilities=by_keys(SLACK["channels"], ("id",)), rows=channels),
        "messages": MemoryCollection(
            capabilities=by_keys(SLACK["messages"], ("channel_id",), ("channel_id", "ts"), ("user_id",)), rows=tops
        ),
        "replies": MemoryCollection(
            capabilities=by_keys(SLACK["replies"], THREAD, (*THREAD, "ts"), requires=THREAD),
            rows=replies,
        ),
    }


def _format_text(text: str) -> tuple[str, str, str]:
    return text, unescape_text(text), compute_message_version(text)


def _drive() -> Mapping[str, MemoryCollection]:
    known = {document.id: document for document in files.documents(SCALE)}
    kept = {id: item for id, item in known.items() if not item.trashed and item.drive is None}
    folders = {id: item for id, item in kept.items() if item.content_type == files.FOLDER}
    papers = [_document(item, known) for id, item in kept.items() if id not in folders]
    grants = [
        (id, files.build_share_id(share), share.kind, share.role, share.to if share.kind in ("user", "group") else None)
        for id, item in kept.items()
        for share in files.list_shares(item, known)
    ]
    searched = by_keys(DRIVE["files"], ("id",), ("parent_id",), ("owner_email",), ("customer_id",))
    columns = {
        name: replace(column, filters=SEARCHED.get(name, frozenset())) for name, column in searched.columns.items()
    }
    placed = [(id, folder.name, folder.parent, _path(folder, known)) for id, folder in folders.items()]
    return {
        **file_contents.content_collections(row[0] for row in papers),
        "files": MemoryCollection(capabilities=replace(searched, columns=columns), rows=papers),
        "folders": MemoryCollection(capabilities=by_keys(DRIVE["folders"], ("id",), ("parent_id",)), rows=placed),
        "permissions": MemoryCollection(
            capabilities=by_keys(DRIVE["permissions"], ("file_id",), requires=("file_id",)), rows=grants
        ),
        "searches": MemoryCollection(
            capabilities=by_keys(DRIVE["searches"], ("text",), requires=("text",)), rows=[(text,) for text in SOUGHT]
        ),
        "hits": MemoryCollection(
            capabilities=by_keys(DRIVE["hits"], ("text",), requires=("text",)),
            rows=[hit for text in SOUGHT for hit in _hits(text, papers, kept)],
        ),
    }  # fmt: skip


def _hits(text: str, files: Sequence[Row], kept: Mapping[str, files.Document]) -> Iterator[Row]:
    """As the demo's server finds them."""
    search = f"fullText contains '{text}'"
    matches, order = match_text(f"'{text}'"), compile_relevance(search)
    assert order is not None  # INVARIANT: the search looks at what files say
    rows = sorted((row for row in files if matches(kept[row[0]])), key=lambda row: order(kept[row[0]]))
    for rank, row in enumerate(rows, start=1):
        yield text, row[0], rank, row[2], row[4], row[5], row[9]


def _document(document: files.Document, known: Mapping[str, files.Document]) -> Row:
    path, own = _path(document, known), document.content_type.startswith(files.GOOGLE_MEDIA_TYPE_PREFIX)
    customer = int(path.split("/")[1].split(" ")[0]) if path.startswith("Customers/") else None
    link = f"https://drive.google.com/file/d/{document.id}/view?usp=drivesdk"
    return (
        document.id, path, document.name, None if own else len(document.body), document.content_type, document.modified,
        "1" if own else f"{len(document.body):x}", document.owner, document.parent, link, customer,
    )  # fmt: skip


def _path(document: files.Document, known: Mapping[str, files.Document]) -> str:
    above = f"{_path(known[document.parent], known)}/" if document.parent in known else ""
    return above + document.name.replace("/", "／")


def _customer(name: str) -> int | None:
    return int(name.split("-")[1]) if name.startswith("cust-") else None


def _parse_timestamp(ts: str) -> datetime:
    seconds, _, micros = ts.partition(".")
    return datetime.fromtimestamp(int(seconds), UTC) + timedelta(microseconds=int(micros))


@cache
def github_declared() -> Mapping[str, model.RestCollection]:
    return config.parse_rest_collections(config.load_described_collections(demo_run.GITHUB))


def _github() -> Mapping[str, MemoryCollection]:
    """What the demo's server would answer, read as the source reads it, with what the source promises."""
    results: dict[str, list[Row]] = {name: [] for name in github_declared()}
    for name, given, items in _github_items():
        of = github_declared()[name]
        results[name] += convert_rows(items, tuple(of.columns), of.columns, given)
    return {
        name: MemoryCollection(capabilities=model.build_rest_capabilities(github_declared()[name]), rows=result)
        for name, result in results.items()
    }


def _github_items() -> Iterator[tuple[str, Mapping[str, Any], list[Any]]]:
    here = build_organization(SCALE)
    yield "repos", {}, [shapes.format_repo("", item) for item in here.repos.values()]
    yield "users", {}, [shapes.format_whole_user("", user) for user in here.users.values()]
    for rollout in (one for listed in here.rollouts.values() for one in listed):
        repo, run = {"repo": rollout.repo}, {"repo": rollout.repo, "run_id": rollout.run}
        states = [shapes.format_status("", here, rollout, status) for status in rollout.statuses]
        yield "deployments", repo, [shapes.format_deployment("", here, rollout)]
        yield "deployment_statuses", {**repo, "deployment_id": rollout.id}, states
        yield "workflow_runs", repo, [shapes.format_run("", here, rollout)]
        yield "workflow_jobs", run, [shapes.format_job("", rollout, one) for one in rollout.jobs]
        yield "approvals", run, shapes.format_approvals("", here, rollout)
        for job in rollout.jobs:
            yield "job_logs", {**repo, "job_id": job.id}, [write_log(rollout, job)]


def jobs() -> MemoryConnector:
    """A few jobs, one of them of parts, with what they logged and left."""
    at, ids = [NOW + timedelta(minutes=item) for item in range(6)], [f"J{item}" for item in range(6)]
    states = ("SUCCEEDED", "FAILED", "RUNNING", "QUEUED", "SUCCEEDED", "CANCELLED")
    job = [
        (
            id, "SurveyUsage" if parent is None else "PrintLabels", state, "P1", "Ada Lovelace", None, parent,
            '{"page": 50}', float(number), None if number % 2 else 10.0, number, at[number], at[number],
            at[number] if number != 2 else None, None, None if state == "SUCCEEDED" else "why",
            '{"customers": 3}' if state == "SUCCEEDED" else None, f"R{number}",
        )
        for number, (id, state) in enumerate(zip(ids, states, strict=True))
        for parent in ("J0" if number > 3 else None,)
    ]  # fmt: skip
    line = [(id, number, at[0], ("LOG", "OUTPUT", "ERROR")[number % 3], f"{id} {number}") for id in ids[:3]
            for number in range(1, 5)]  # fmt: skip
    file = [(id, "labels.txt", "text/plain", 3, "0" * 64, at[1], "abc") for id in ids[4:]]
    rows: Mapping[str, Sequence[Row]] = {"job": job, "job_line": line, "job_file": file}
    return MemoryConnector(
        {name: MemoryCollection(capabilities=JOB_CAPABILITIES[name], rows=row) for name, row in rows.items()}
    )


def metadata() -> MemoryConnector:
    """Users, memberships, keys and what was changed of them, of whom there are none."""
    return MemoryConnector(
        {
            name: MemoryCollection(capabilities=collection.capabilities, rows=())
            for name, collection in METADATA_COLLECTIONS.items()
        }
    )


def grants() -> MemoryConnector:
    """Grants and what was done under them, of which there are none."""
    return MemoryConnector(
        {
            name: MemoryCollection(capabilities=capabilities, rows=())
            for name, capabilities in GRANT_CAPABILITIES_BY_COLLECTION.items()
        }
    )


def promising_nothing(memory: MemoryConnector) -> MemoryConnector:
    return MemoryConnector(
        {
            name: replace(collection, capabilities=nothing(collection.capabilities))
            for name, collection in memory.collections.items()
        }
    )


@cache
def company() -> Company:
    """Acme, as its folder declares it."""
    return load_company(ROOT)


@cache
def parts() -> CompanySchema:
    """What Acme's schema is made of, the built-in types among it."""
    settings, exports = load_schema_settings(ROOT / "onedoor.toml")
    return build_company_schema(company(), settings, exports=exports)


def load_schema_modules() -> tuple[ModuleType, ...]:
    return parts().modules


def load_mappings() -> Mapping[str, TypeMapping]:
    return parts().mappings


def load_mutations() -> tuple[MutationDeclaration, ...]:
    return company().mutations


def load_subscriptions() -> Mapping[str, SubscriptionSource]:
    return parts().subscriptions


@cache
def load_document() -> DocumentNode:
    """Build Acme's schema as a document once a process; nobody changes it."""
    return build_document(load_schema_modules(), parts().masking_groups)


@cache
def load_schema_and_policy() -> tuple[GraphQLSchema, AccessPolicy]:
    """Build Acme's schema and rules once a process; nobody changes them."""
    return build_from_document(load_document())


@cache
def load_schema_version() -> str:
    return compute_version(load_document())


REQUESTS = MemoryConnector({"requests": MemoryCollection(capabilities=Capabilities(columns={}), rows=())})


def build_catalog(given: Mapping[str, Connector] | None = None, limits: Limits | None = None) -> Catalog:
    """Build Acme's catalog over the given connectors, by default those of `sources()`."""
    from onedoor.connectors.audit_log import AUDIT_CAPABILITIES as CAN

    schema, rules = load_schema_and_policy()
    audit_log = MemoryConnector({name: MemoryCollection(capabilities=can, rows=()) for name, can in CAN.items()})
    bound = load_mappings()
    return Catalog(
        schema=schema,
        policy=rules,
        groups=GROUPS,
        mappings=bound,
        connectors={
            **(given or sources()),
            "caller": build_empty_principal_connector(),
            ACCESS_SOURCE: AccessConnector(),
            "uploads": build_empty_upload_connector(),
            "journal": audit_log,
            "jobs": jobs(),
            "grants": grants(),
            "metadata": metadata(),
            "issued_keys": build_issued_key_connector(),
            "imports": build_import_connector(),
            HISTORY_CONNECTOR: change_history.build_change_history(bound, sources()),
        },
        limits=limits or PATIENT,
        actions=dict.fromkeys(schema.mutation_type.fields if schema.mutation_type else (), refuse_mutation),
        subscriptions=load_subscriptions(),
        cursor_secret=b"a secret of the tests",
        version=load_schema_version(),
    )


async def refuse_mutation(act: ActionCall) -> ActionResult:
    """The small Acme is read; what is changed is tested over sources that can be."""
    raise ConnectorError(f"nothing is changed by `{act.field}` here", ErrorCode.CANNOT_ANSWER)


def remedy(*people: str) -> str:
    """What a denial in Acme advises: to ask these people, or to send the mutation that asks them."""
    mutation = find_request_mutation(build_catalog())
    advice = f"ask {' or '.join(people)} for it"
    return f"send `{mutation}`, or {advice}" if mutation else advice


def caller(*groups: str) -> Principal:
    """Someone in these groups, and in everyone's, who works for a vendor."""
    return Principal(
        person_id="P1", first_name="Ada", last_name="Lovelace", email="ada@acme.example",
        groups=frozenset({"everyone", *groups}), grants=(),
        key_id="Key012345678", key_created=NOW - timedelta(days=1), key_expires=NOW + timedelta(days=89),
        attributes={"vendor": (VENDOR,)},
    )  # fmt: skip


async def append_nothing(result: ExecutionResult) -> None:
    """Stand in for an audit log."""


RECORD = RecordBeginning(id="R1", append=append_nothing)


def open_engine(of: Catalog, budgets: Budgets | None = None) -> QueryEngine:
    return build_query_engine(of, lambda item: {"caller": build_principal_connector(item, budgets)}, lambda: 0.0)


async def ask(
    at: QueryEngine, text: str, *groups: str, variables: Mapping[str, Any] | None = None, **options: Any
) -> ExecutionResult:
    """What the engine tells someone in these groups."""
    return await ask_as(at, caller(*groups), text, variables=variables, **options)


async def ask_as(
    at: QueryEngine, principal: Principal, text: str, variables: Mapping[str, Any] | None = None, **options: Any
) -> ExecutionResult:
    """What the engine tells one person."""
    question = GraphQLRequest(query=text, variables=variables or {}, extensions=options)
    result = await execute(at, principal, question, record=RECORD)
    result.data = orjson.loads(orjson.dumps(result.data, option=orjson.OPT_UTC_Z))
    return result
