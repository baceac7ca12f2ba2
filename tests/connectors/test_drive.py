"""Read a Drive as rows and bytes over the wire to a server that speaks its API, and fail with reasons."""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.data.files import (
    DOC,
    FOLDER,
    GOOGLE_MEDIA_TYPE_PREFIX,
    SHEET,
    Document,
    build_root_id,
    build_shared_drive_id,
    documents,
    get_drive_subject,
    list_shares,
)
from demo.servers.drive.app import app
from demo.servers.drive.auth import Authority, build_authority, build_service_account
from demo.servers.drive.store import DriveStore, build_store
from demo.servers.slack.app import parse_rates
from onedoor.connectors.drive.connector import DriveConnector, DriveOptions, connect
from onedoor.connectors.drive.uploads import CHUNK_BYTES, CHUNK_MULTIPLE
from onedoor.connectors.files.model import FileStat
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.predicates import (
    And,
    Comparison,  # pytest would take `Test` for a class of tests
    Op,
    Row,
)
from onedoor.spi.scan import KeyFilter, ScanRequest
from tests.servers.cutting import open_cutting_port

KEY = build_service_account()
PATTERN = "Customers/{customer_id:int} {called}/{kind}/{name}"
SUBJECT = get_drive_subject()
DOCUMENTS = documents()
DOCUMENTS_BY_ID = {document.id: document for document in DOCUMENTS}
OWN_DOCUMENTS = [document for document in DOCUMENTS if document.drive is None and not document.trashed]
FILES = [own_document for own_document in OWN_DOCUMENTS if own_document.content_type != FOLDER]
FOLDERS = [own_document for own_document in OWN_DOCUMENTS if own_document.content_type == FOLDER]
TEAMS = next(folder for folder in FOLDERS if folder.name == "Teams")
SEEDED_IDS = frozenset(build_store(1).documents)
WRITE_SCOPE = "https://www.googleapis.com/auth/drive"
TOKEN = {"access_token": "of-the-tests", "expires_in": 3599}
WORDS = re.compile(r"[^_\W]+")
Serve = Callable[[ASGIApp], AbstractContextManager[int]]
OpenDrive = Callable[..., Any]


class RecordedServer:
    """The app, what was called of it, and how large its pages are at most."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.page: int | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        self.calls.append((scope["path"].removeprefix("/drive/v3/"), query))
        if self.page is not None and "pageSize" in query:
            scope["query_string"] = urlencode({**query, "pageSize": str(self.page)}).encode()
        await self.app(scope, receive, send)

    def paths(self) -> Counter[str]:
        """How often each was called; of a file by its id, `files/*`."""
        return Counter(re.sub(r"^files/(?!root)[^/]*", "files/*", path) for path, _ in self.calls)


@pytest.fixture(scope="module")
def signs() -> Authority:
    return build_authority(KEY, frozenset(build_store(1).names), 3599, time.time)


@pytest.fixture(scope="module")
def world() -> DriveStore:
    return build_store(1)


@pytest.fixture(scope="module")
def recorded_server(world: DriveStore, signs: Authority, serve: Serve) -> Iterator[tuple[RecordedServer, int]]:
    server = RecordedServer(app(signs, world, parse_rates([])))
    with serve(server) as port:
        yield server, port


@pytest.fixture
def watched(world: DriveStore, recorded_server: tuple[RecordedServer, int]) -> tuple[RecordedServer, int]:
    """As seeded, whatever was put there before."""
    for id in world.documents.keys() - SEEDED_IDS:
        del world.documents[id]
    server, port = recorded_server
    server.calls.clear()
    server.page = None
    return server, port


@pytest.fixture
async def open_drive() -> AsyncIterator[OpenDrive]:
    opened: list[DriveConnector] = []

    async def opening(port: int, **more: object) -> DriveConnector:
        given = {"service_account_key": KEY, "subject": SUBJECT, "endpoint": f"http://127.0.0.1:{port}"} | more
        opened.append(await connect(DriveOptions(**{"pattern": PATTERN, **given})))  # type: ignore[arg-type]
        return opened[-1]

    yield opening
    for source in opened:
        await source.close()


@pytest.fixture
async def drive(open_drive: OpenDrive, watched: tuple[RecordedServer, int]) -> DriveConnector:
    return await open_drive(watched[1])


async def scan_rows(
    source: DriveConnector, collection: str, *columns: str, keys: KeyFilter | None = None, **more: Any
) -> list[Row]:
    ask = ScanRequest(collection=collection, columns=columns, keys=keys, **more)
    return [row async for batch in source.scan(ask) for row in batch]


def build_path(document: Document) -> str:
    above = f"{build_path(DOCUMENTS_BY_ID[document.parent])}/" if document.parent in DOCUMENTS_BY_ID else ""
    return above + document.name.replace("/", "／")


def find_customer(document: Document) -> int | None:
    parts = build_path(document).split("/")
    return int(parts[1].split()[0]) if parts[0] == "Customers" else None


def find_size(document: Document) -> int | None:
    return None if document.content_type.startswith(GOOGLE_MEDIA_TYPE_PREFIX) else len(document.body)


def test_the_seed_holds_the_hard_cases() -> None:
    assert {DOC, SHEET, "application/pdf", "text/csv"} <= {file.content_type for file in FILES}
    assert any("/" in file.name for file in FILES)
    assert any("'" in file.name for file in FILES)
    assert any(document.trashed for document in DOCUMENTS)
    assert len(FILES) == 200


async def test_keys_and_searchable_columns_are_pushed_down(drive: DriveConnector) -> None:
    files, folders, permissions = (drive.capabilities(name) for name in ("files", "folders", "permissions"))
    assert tuple(files.columns)[:7] == ("id", "path", "name", "size", "content_type", "modified", "version")
    assert tuple(files.columns)[7:] == ("owner_email", "parent_id", "link", "customer_id", "called", "kind")
    assert {name for name, column in files.columns.items() if column.filters} == {
        "name", "content_type", "owner_email", "modified",
    }  # fmt: skip
    assert files.key_columns == {
        ("id",), ("parent_id",), ("owner_email",), ("customer_id",), ("customer_id", "called"),
        ("customer_id", "called", "kind"),
    }  # fmt: skip
    assert (folders.key_columns, permissions.key_columns) == ({("id",), ("parent_id",)}, {("file_id",)})
    assert permissions.required_columns == ("file_id",)
    hits, searches = drive.capabilities("hits"), drive.capabilities("searches")
    assert (
        (hits.required_columns, hits.key_columns)
        == (searches.required_columns, searches.key_columns)
        == (("text",), {("text",)})
    )
    assert not any((files.boolean_filters, files.limit, files.aggregates, folders.limit))


async def test_files_are_those_of_the_seed_without_folders_trash_and_shared_drives(drive: DriveConnector) -> None:
    columns = ("id", "path", "name", "size", "content_type", "modified", "owner_email", "parent_id", "customer_id")
    assert sorted(await scan_rows(drive, "files", *columns), key=repr) == sorted(
        (
            (
                file.id,
                build_path(file),
                file.name,
                find_size(file),
                file.content_type,
                file.modified,
                file.owner,
                file.parent,
                find_customer(file),
            )
            for file in FILES
        ),
        key=repr,
    )


async def test_folders_are_those_of_the_seed(drive: DriveConnector) -> None:
    expected = [(folder.id, folder.name, folder.parent, build_path(folder)) for folder in FOLDERS]
    assert sorted(await scan_rows(drive, "folders", "id", "name", "parent_id", "path")) == sorted(expected)


async def test_pages_are_followed_however_short(drive: DriveConnector, watched: tuple[RecordedServer, int]) -> None:
    watched[0].page = 30
    assert sorted(await scan_rows(drive, "files", "id")) == sorted((file.id,) for file in FILES)
    assert watched[0].paths()["files"] == 7


async def test_only_the_selected_fields_are_requested(
    drive: DriveConnector, watched: tuple[RecordedServer, int]
) -> None:
    await scan_rows(drive, "files", "name", "size")
    (listing,) = [query for path, query in watched[0].calls if path == "files"]
    assert listing["fields"] == "nextPageToken,incompleteSearch,files(id,mimeType,name,size)"
    assert listing["q"] == f"mimeType != '{FOLDER}' and trashed = false"


OWNER = FILES[0].owner
NAMED = [file.name for file in FILES if file.name.startswith("Terms")][:2]
MIDDLE = sorted(file.modified for file in FILES)[50]


@pytest.mark.parametrize(
    ("test", "search", "holds"),
    [
        (
            Comparison("name", Op.EQ, "Legal's notes.txt"),
            r"(name = 'Legal\'s notes.txt')",
            lambda one: "Legal's" in one.name,
        ),
        (Comparison("name", Op.EQ, "HANDBOOK"), "(name = 'HANDBOOK')", lambda one: False),
        (
            Comparison("name", Op.IN, tuple(NAMED)),
            f"(name = '{NAMED[0]}' or name = '{NAMED[1]}')",
            lambda one: one.name in NAMED,
        ),
        (Comparison("name", Op.EQ, "a\0b"), "", lambda one: False),
        (Comparison("content_type", Op.EQ, SHEET), f"(mimeType = '{SHEET}')", lambda one: one.content_type == SHEET),
        (Comparison("owner_email", Op.EQ, OWNER), f"('{OWNER}' in owners)", lambda one: one.owner == OWNER),
        (
            Comparison("owner_email", Op.EQ, str(OWNER).upper()),
            f"('{str(OWNER).upper()}' in owners)",
            lambda one: False,
        ),
        (Comparison("owner_email", Op.EQ, "nobody"), "", lambda one: False),
        (Comparison("modified", Op.GT, MIDDLE), "modifiedTime >= ", lambda one: one.modified > MIDDLE),
        (Comparison("modified", Op.LTE, MIDDLE), "modifiedTime <= ", lambda one: one.modified <= MIDDLE),
    ],
)
async def test_a_filter_narrows_the_search_and_is_met_exactly(
    drive: DriveConnector,
    watched: tuple[RecordedServer, int],
    test: Comparison,
    search: str,
    holds: Callable[[Document], bool],
) -> None:
    assert sorted(await scan_rows(drive, "files", "id", filter=And((test,)))) == sorted(
        (file.id,) for file in FILES if holds(file)
    )
    assert search in watched[0].calls[-1][1]["q"]


async def test_a_few_ids_cost_a_call_each_and_no_listing(
    drive: DriveConnector, watched: tuple[RecordedServer, int]
) -> None:
    wanted = FILES[:3]
    odd = (
        "1nothing",
        "",
        "\ud800",
        "a/b",
        "root",
        FOLDERS[0].id,
        next(document.id for document in DOCUMENTS if document.trashed),
    )
    keys = KeyFilter(("id",), (*((item.id,) for item in wanted), *((item,) for item in odd)))
    assert sorted(await scan_rows(drive, "files", "id", keys=keys)) == sorted((item.id,) for item in wanted)
    assert watched[0].paths() == {"/token": 1, "files/*": 6, "files/root": 1}


async def test_a_path_by_id_climbs_from_folder_to_folder(
    drive: DriveConnector, watched: tuple[RecordedServer, int]
) -> None:
    rows = await scan_rows(drive, "files", "path", keys=KeyFilter(("id",), ((FILES[0].id,),)))
    assert rows == [(build_path(FILES[0]),)]
    assert watched[0].paths() == {"/token": 1, "files/*": 4, "files/root": 1}


async def test_many_customers_files_are_found_in_three_kinds_of_calls(
    drive: DriveConnector, watched: tuple[RecordedServer, int]
) -> None:
    keys = KeyFilter(("customer_id",), tuple((number,) for number in range(1, 31)))
    rows = await scan_rows(drive, "files", "id", "customer_id", keys=keys)
    assert sorted(rows) == sorted((file.id, find_customer(file)) for file in FILES if (find_customer(file) or 99) <= 30)
    assert watched[0].paths() == {"/token": 1, "files": 1 + 2, "files/root": 1}


async def test_folders_that_are_not_there_cost_no_more_than_halving(
    drive: DriveConnector, watched: tuple[RecordedServer, int]
) -> None:
    keys = KeyFilter(("parent_id",), ((TEAMS.id,), *((f"1none{number}",) for number in range(3)), (FILES[0].parent,)))
    rows = await scan_rows(drive, "files", "id", keys=keys)
    assert sorted(rows) == sorted((file.id,) for file in FILES if file.parent in (TEAMS.id, FILES[0].parent))
    assert watched[0].paths()["files"] <= 9


async def test_an_owners_files_are_searched_for(drive: DriveConnector, watched: tuple[RecordedServer, int]) -> None:
    keys = KeyFilter(("owner_email",), ((OWNER,), ("nobody@acme.example",), ("x' or trashed = true or name = 'x",)))
    rows = await scan_rows(drive, "files", "id", keys=keys)
    assert sorted(rows) == sorted((file.id,) for file in FILES if file.owner == OWNER)
    assert watched[0].paths()["files"] == 1


def has_phrases(document: Document, *phrases: str) -> bool:
    """Each phrase, whole words of it, in the name or in what can be read."""
    body = "" if document.content_type == "application/pdf" else document.body.decode()
    result = [f" {' '.join(WORDS.findall(text.lower()))} " for text in (document.name, body)]
    return all(any(f" {phrase} " in item for item in result) for phrase in phrases)


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        pytest.param("renewed", ("renewed",), id="a word"),
        pytest.param("renew", ("renew",), id="not how one begins"),
        pytest.param("NOTICE renewed", ("renewed", "notice"), id="all words, in any case and order"),
        pytest.param('"renewed each year"', ("renewed each year",), id="a phrase"),
        pytest.param('"each renewed"', ("each renewed",), id="a phrase in another order"),
        pytest.param("Legal's notes.txt", ("legal", "s", "notes", "txt"), id="an apostrophe"),
        pytest.param("back\\slash", ("back", "slash"), id="a backslash"),
        pytest.param("legal' or name contains 'l", ("legal", "or", "name", "contains", "l"), id="an injection"),
        pytest.param("legal\\' or trashed = true or name = \\'x", ("legal", "trashed", "true"), id="with backslashes"),
        pytest.param("café\n東京", ("café", "東京"), id="any alphabet, on two lines"),
        pytest.param("plan " * 700, ("plan",), id="more than an address holds"),
    ],
)
async def test_hits_are_what_the_search_finds_for_a_text(
    drive: DriveConnector, watched: tuple[RecordedServer, int], text: str, phrases: tuple[str, ...]
) -> None:
    watched[0].page = 7
    expected = sorted((text, file.id, file.name) for file in FILES if has_phrases(file, *phrases))
    assert (
        sorted(await scan_rows(drive, "hits", "text", "file_id", "name", keys=KeyFilter(("text",), ((text,),))))
        == expected
    )
    assert await scan_rows(drive, "searches", "text", keys=KeyFilter(("text",), ((text,),))) == [(text,)]


async def test_the_first_hit_is_the_one_that_drive_puts_first(
    drive: DriveConnector, watched: tuple[RecordedServer, int]
) -> None:
    watched[0].page = 10
    rows = await scan_rows(
        drive, "hits", "rank", "name", keys=KeyFilter(("text",), (("prices 2026",), ("handbook how",)))
    )
    prices, books = (Counter(file.name for file in FILES)[name] for name in ("Prices 2026", "Handbook"))
    assert rows == [
        *((rank, "Prices 2026") for rank in range(1, prices + 1)),
        *((rank, "Handbook") for rank in range(1, books + 1)),
    ]


@pytest.mark.parametrize("text", ["", " ", "%", "'", '"', "\\", "_", "\0", "a\ud800b", "\U0001f600"])
async def test_a_text_without_a_word_finds_nothing_and_costs_nothing(
    drive: DriveConnector, watched: tuple[RecordedServer, int], text: str
) -> None:
    for collection in ("hits", "searches"):
        assert await scan_rows(drive, collection, "text", keys=KeyFilter(("text",), ((text,),))) == []
    assert watched[0].calls == []


async def test_hits_outside_of_a_folder_are_not_counted(
    open_drive: OpenDrive, watched: tuple[RecordedServer, int]
) -> None:
    source = await open_drive(watched[1], folder=TEAMS.id, pattern="{team}/{name}")
    keys = KeyFilter(("text",), (("2026",),))
    rows = await scan_rows(source, "hits", "rank", "file_id", keys=keys)
    expected = {file.id for file in FILES if build_path(file).startswith("Teams/") and has_phrases(file, "2026")}
    assert ({id for _, id in rows}, [rank for rank, _ in rows]) == (expected, list(range(1, len(expected) + 1)))


async def test_folders_are_found_by_id_and_by_parent_but_not_what_holds_them_all(drive: DriveConnector) -> None:
    wanted = [folder for folder in FOLDERS if folder.parent == TEAMS.id]
    by_id = KeyFilter(("id",), ((TEAMS.id,), (FILES[0].id,), (build_root_id(SUBJECT),), ("1nothing",)))
    assert await scan_rows(drive, "folders", "id", "path", keys=by_id) == [(TEAMS.id, "Teams")]
    assert sorted(await scan_rows(drive, "folders", "name", keys=KeyFilter(("parent_id",), ((TEAMS.id,),)))) == sorted(
        (item.name,) for item in wanted
    )


async def test_permissions_are_those_of_file_and_folders(drive: DriveConnector) -> None:
    wanted = [FILES[0], TEAMS]
    keys = KeyFilter(("file_id",), (*((item.id,) for item in wanted), ("1nothing",), ("",)))
    rows = await scan_rows(drive, "permissions", "file_id", "kind", "role", "email", keys=keys)
    assert Counter(rows) == Counter(
        (item.id, share.kind, share.role, share.to if "@" in share.to else None)
        for item in wanted
        for share in list_shares(item, DOCUMENTS_BY_ID)
    )


async def test_below_one_folder_nothing_else_is_opened(
    open_drive: OpenDrive, watched: tuple[RecordedServer, int]
) -> None:
    source = await open_drive(watched[1], folder=TEAMS.id, pattern="{team}/{name}")
    outside, inside = FILES[0], next(file for file in FILES if file.name == "Legal's notes.txt")
    below = [file for file in FILES if build_path(file).startswith("Teams/")]
    assert sorted(await scan_rows(source, "files", "path")) == sorted(
        (build_path(item).removeprefix("Teams/"),) for item in below
    )
    assert sorted(await scan_rows(source, "folders", "path")) == sorted(
        (folder.name,) for folder in FOLDERS if folder.parent == TEAMS.id
    )
    for collection, column in (("files", "id"), ("files", "parent_id"), ("files", "owner_email"), ("folders", "id")):
        key = {"id": outside.id, "parent_id": outside.parent, "owner_email": outside.owner}[column]
        assert await scan_rows(source, collection, "id", keys=KeyFilter((column,), ((key,),))) == []
    assert (
        await scan_rows(source, "permissions", "id", keys=KeyFilter(("file_id",), ((outside.id,), (TEAMS.id,)))) == []
    )
    assert (
        len(await scan_rows(source, "files", "id", keys=KeyFilter(("team",), (("Legal",), ("Sales",), ("None",)))))
        == 10
    )
    assert (await source.stat(outside.id), (await source.stat(inside.id)).name) == (None, inside.name)
    with pytest.raises(ConnectorError, match="no such file"):
        await source.read_range(outside.id, 0, 10)


async def test_a_shared_drive_has_its_own_files(open_drive: OpenDrive, watched: tuple[RecordedServer, int]) -> None:
    source = await open_drive(watched[1], drive_id=build_shared_drive_id())
    expected = [
        (document.id, build_path(document), None)
        for document in DOCUMENTS
        if document.drive and document.content_type != FOLDER
    ]
    assert sorted(await scan_rows(source, "files", "id", "path", "owner_email")) == sorted(expected)
    keys = KeyFilter(("id",), ((expected[0][0],), (FILES[0].id,)))
    assert await scan_rows(source, "files", "path", keys=keys) == [(expected[0][1],)]
    assert await source.read_range(expected[0][0], 0, 8) == b"%PDF-1.4"


async def test_a_stat_describes_a_file(drive: DriveConnector) -> None:
    pdf = next(file for file in FILES if file.content_type == "application/pdf")
    result = await drive.stat(pdf.id)
    assert result == FileStat(
        id=pdf.id, name=pdf.name, size=len(pdf.body), content_type="application/pdf", modified=pdf.modified,
        version=result.version,
    )  # fmt: skip
    assert [(await drive.stat(id)) for id in ("1nothing", FOLDERS[0].id, "../about")] == [None, None, None]
    assert await drive.create_download_url(pdf.id, 60) is None


@pytest.mark.parametrize(("start", "length"), [(0, 5), (3, 40), (0, 10_000), (500, 10_000), (10_000, 5), (0, 0)])
async def test_a_range_reads_no_other_bytes(drive: DriveConnector, start: int, length: int) -> None:
    pdf = next(file for file in FILES if file.content_type == "application/pdf")
    assert await drive.read_range(pdf.id, start, length) == pdf.body[start : start + length]


@pytest.mark.parametrize(
    ("content_type", "media", "as_exported"),
    [
        (DOC, "text/plain", lambda body: b"\xef\xbb\xbf" + body.replace(b"\n", b"\r\n")),
        (SHEET, "text/csv", lambda body: body.replace(b"\n", b"\r\n")),
    ],
)
async def test_docs_and_sheets_are_read_as_text(
    drive: DriveConnector, content_type: str, media: str, as_exported: Callable[[bytes], bytes]
) -> None:
    wanted = next(file for file in FILES if file.content_type == content_type)
    result = await drive.stat(wanted.id)
    assert result is not None
    assert (result.size, result.content_type) == (None, media)
    assert await drive.read_range(wanted.id, 0, 10_000) == as_exported(wanted.body)
    assert await drive.read_range(wanted.id, 7, 9) == as_exported(wanted.body)[7:16]


async def test_a_file_without_content_is_refused_with_a_reason(drive: DriveConnector, world: DriveStore) -> None:
    form = next(iter(world.documents.values()))
    document = Document(
        id="1form",
        name="Survey",
        parent=build_root_id(SUBJECT),
        content_type=f"{GOOGLE_MEDIA_TYPE_PREFIX}form",
        modified=form.modified,
        owner=SUBJECT,
    )
    world.documents[document.id], world.versions[document.id] = document, 1
    with pytest.raises(ConnectorError) as refused:
        await drive.read_range(document.id, 0, 10)
    assert (refused.value.reason, refused.value.code) == (
        "drive has no content of such a file", ErrorCode.CANNOT_ANSWER,
    )  # fmt: skip


async def test_one_token_serves_until_it_ends(
    drive: DriveConnector, watched: tuple[RecordedServer, int], signs: Authority
) -> None:
    await asyncio.gather(*(scan_rows(drive, "files", "id") for _ in range(5)))
    once = watched[0].paths()["/token"]
    signs.grants.clear()
    assert len(await scan_rows(drive, "files", "id")) == 200
    assert (once, watched[0].paths()["/token"]) == (1, 2)


async def test_a_token_that_ends_between_two_pages_is_renewed_once_and_no_row_is_lost(
    drive: DriveConnector, watched: tuple[RecordedServer, int], signs: Authority
) -> None:
    watched[0].page = 30
    rows: list[Row] = []
    async for batch in drive.scan(ScanRequest(collection="files", columns=("id",))):
        rows += batch
        if len(rows) == 60:
            signs.grants.clear()
    assert sorted(rows) == sorted((file.id,) for file in FILES)
    assert watched[0].paths()["/token"] == 2


async def test_a_token_about_to_end_is_not_used(open_drive: OpenDrive, world: DriveStore, serve: Serve) -> None:
    server = RecordedServer(app(build_authority(KEY, frozenset(world.names), 1, time.time), world, parse_rates([])))
    with serve(server) as port:
        source = await open_drive(port)
        await scan_rows(source, "files", "id")
        await asyncio.sleep(0.6)
        await scan_rows(source, "files", "id")
    assert server.paths()["/token"] == 2


async def get_failure(source: DriveConnector) -> tuple[str, ErrorCode]:
    with pytest.raises(ConnectorError) as caught:
        await scan_rows(source, "files", "id")
    return caught.value.reason, caught.value.code


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"service_account_key": build_service_account()}, "google refused the service account with `invalid_grant`"),
        ({"subject": "nobody@acme.example"}, "google refused the service account with `invalid_grant`"),
        ({"scope": "https://www.googleapis.com/auth/calendar"},
         "google refused the service account with `unauthorized_client`"),
        ({"scope": "https://www.googleapis.com/auth/drive.scripts"},
         "drive refused the call with `insufficientPermissions`"),
    ],
)  # fmt: skip
async def test_wrong_credentials_are_refused_with_a_reason(
    open_drive: OpenDrive, watched: tuple[RecordedServer, int], given: dict[str, str], reason: str
) -> None:
    assert await get_failure(await open_drive(watched[1], **given)) == (reason, ErrorCode.SOURCE_UNAVAILABLE)


@pytest.mark.parametrize(
    "key",
    ["", "{}", "[]", "null", KEY[:200], KEY.replace("BEGIN PRIVATE", "BEGIN"), KEY.replace('"client_email": ', '"": ')],
)  # fmt: skip
async def test_an_invalid_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ValueError, match="service_account_key") as refused:
        await connect(DriveOptions(service_account_key=key))
    assert json.loads(KEY)["private_key"][40:60] not in str(refused.value)


async def test_tokens_are_requested_over_https_alone() -> None:
    with pytest.raises(ValueError, match="over https"):
        await connect(DriveOptions(service_account_key=build_service_account("http://elsewhere.example/token")))


async def test_options_do_not_show_the_key() -> None:
    assert "PRIVATE" not in repr(DriveOptions(service_account_key=KEY))


async def test_a_closed_port_fails_with_a_reason(open_drive: OpenDrive, closed_port: int) -> None:
    assert await get_failure(await open_drive(closed_port)) == (
        "drive could not be reached",
        ErrorCode.SOURCE_UNAVAILABLE,
    )


async def test_a_silent_port_fails_within_the_timeout(open_drive: OpenDrive, silent_port: int) -> None:
    source = await open_drive(silent_port, timeout=0.2)
    assert await get_failure(source) == ("drive did not answer within 0.2 s", ErrorCode.SOURCE_UNAVAILABLE)


async def test_a_cancelled_read_waits_for_nothing(open_drive: OpenDrive, silent_port: int) -> None:
    reading = asyncio.create_task(scan_rows(await open_drive(silent_port), "files", "id"))
    await asyncio.sleep(0.05)
    reading.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await reading


def serve_answer(answer: Callable[[Request], Response]) -> ASGIApp:
    """A token for everyone, and this answer to all else."""

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.method != "GET":
            await request.body()
        response = JSONResponse(TOKEN) if request.url.path == "/token" else answer(request)
        await response(scope, receive, send)

    return server


def build_error(status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    body = {"error": {"code": status, "message": "see https://x/?token=y", "errors": [{"reason": reason}]}}
    return JSONResponse(body, status, headers)


MISSING_FILE = "drive has no such file, or the settings do not open it"
UNREADABLE = ("drive gave an answer that cannot be read", ErrorCode.SOURCE_INVALID)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(Response("<html>", media_type="text/html"), UNREADABLE, id="no json"),
        pytest.param(Response("{", media_type="application/json"), UNREADABLE, id="broken json"),
        pytest.param(JSONResponse([]), UNREADABLE, id="a list"),
        pytest.param(JSONResponse({"files": {}}), UNREADABLE, id="no list"),
        pytest.param(JSONResponse({"files": [1]}), UNREADABLE, id="files that are none"),
        pytest.param(JSONResponse({"files": [{"name": "a"}]}), UNREADABLE, id="a file without an id"),
        pytest.param(JSONResponse({"files": [], "incompleteSearch": True}), UNREADABLE, id="not all"),
        pytest.param(JSONResponse({"files": [], "nextPageToken": "same"}), UNREADABLE, id="the same page again"),
        pytest.param(
            Response(b"x", headers={"content-encoding": "br"}),
            ("the API gave an answer that cannot be read", ErrorCode.SOURCE_INVALID),
            id="packed in another way",
        ),
        pytest.param(RedirectResponse("http://127.0.0.1:1/"), UNREADABLE, id="elsewhere"),
        pytest.param(
            Response(b"x" * 5000),
            ("an answer of the API is over the limit `response_bytes` of 4096", ErrorCode.SOURCE_INVALID),
            id="too long",
        ),
        pytest.param(Response("", 503), ("drive failed with HTTP status 503", ErrorCode.SOURCE_UNAVAILABLE), id="down"),
        pytest.param(
            build_error(401, "authError"),
            ("drive refused the credentials", ErrorCode.SOURCE_UNAVAILABLE),
            id="no token",
        ),
        pytest.param(build_error(404, "notFound"), (MISSING_FILE, ErrorCode.SOURCE_INVALID), id="no drive"),
        pytest.param(
            build_error(403, "domainPolicy"),
            ("drive refused the call with `domainPolicy`", ErrorCode.SOURCE_UNAVAILABLE),
            id="a policy",
        ),
        pytest.param(
            build_error(403, "see https://x/?token=y"),
            ("drive refused the call with HTTP status 403", ErrorCode.SOURCE_UNAVAILABLE),
            id="a reason that is no word",
        ),
        pytest.param(
            build_error(429, "rateLimitExceeded", {"retry-after": "0"}),
            ("drive takes no more calls for now, ask again later", ErrorCode.SOURCE_OVERLOADED),
            id="too many",
        ),
        pytest.param(
            build_error(403, "userRateLimitExceeded", {"retry-after": "60"}),
            (
                "`drive` takes no more `queries` for now, the next turn is in 60 s: ask again then, or for less",
                ErrorCode.RATE_LIMITED,
            ),
            id="a long wait",
        ),
    ],
)
async def test_a_failure_has_a_reason_that_can_be_shown(
    open_drive: OpenDrive, serve: Serve, answer: Response, expected: tuple[str, ErrorCode]
) -> None:
    with serve(serve_answer(lambda _: answer)) as port:
        assert await get_failure(await open_drive(port, response_bytes=4096)) == expected


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Response("<html>"), "drive gave an answer that cannot be read"),
        (JSONResponse({"access_token": "", "expires_in": 1}), "google gave a token that cannot be read"),
        (JSONResponse({"access_token": "a", "expires_in": "1"}), "google gave a token that cannot be read"),
        (JSONResponse({"error": "see https://x"}, 400), "google refused the service account"),
        (JSONResponse([], 400), "google refused the service account"),
        (JSONResponse({}, 503), "google gave no token, HTTP status 503"),
    ],
)
async def test_an_unusable_token_answer_has_a_reason_that_can_be_shown(
    open_drive: OpenDrive, serve: Serve, answer: Response, reason: str
) -> None:
    with serve(answer) as port:
        assert (await get_failure(await open_drive(port)))[0] == reason


async def test_a_short_wait_is_waited_once(open_drive: OpenDrive, serve: Serve) -> None:
    answers = iter(
        [build_error(403, "rateLimitExceeded", {"retry-after": "0"}), JSONResponse({"files": [{"id": "1a"}]})]
    )
    with serve(serve_answer(lambda _: next(answers))) as port:
        assert await scan_rows(await open_drive(port), "files", "id") == [("1a",)]


class EndlessFile:
    """Knows no ranges; its file ends when nobody listens any more, which it counts."""

    def __init__(self) -> None:
        self.left = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if b"alt=media" not in scope["query_string"]:
            about = {"id": "1a", "name": "a", "mimeType": "b/c", "modifiedTime": "2026-01-01T00:00:00Z", "version": "1"}
            await JSONResponse(TOKEN if scope["path"] == "/token" else about)(scope, receive, send)
            return
        leaving = asyncio.ensure_future(wait_for_disconnect(receive))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not leaving.done():
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
            await asyncio.sleep(0)
        self.left += 1


async def wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_server_that_ignores_ranges_is_read_no_further_and_not_believed(
    open_drive: OpenDrive, serve: Serve
) -> None:
    server = EndlessFile()
    with serve(server) as port:
        source = await open_drive(port)
        content = await source.read_range("1a", 0, 1000)
        with pytest.raises(ConnectorError, match="cannot be read"):
            await source.read_range("1a", 1, 1000)
        await wait_until(lambda: server.left == 2)
    assert content == b"x" * 1000


async def split_content(octets: bytes, number: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(octets), number):
        yield octets[start : start + number]


SIZES = (0, 1, CHUNK_MULTIPLE, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 5)


@pytest.mark.parametrize("length", SIZES)
async def test_an_uploaded_file_can_be_read(
    open_drive: OpenDrive, watched: tuple[RecordedServer, int], length: int
) -> None:
    source = await open_drive(watched[1], scope=WRITE_SCOPE)
    octets = (bytes(range(251)) * (length // 251 + 1))[:length]
    result = await source.upload_file("new é.bin", TEAMS.id, "application/x-new", split_content(octets))
    assert (result["name"], result["parents"], result["size"]) == ("new é.bin", [TEAMS.id], str(length))
    assert await source.read_range(result["id"], 0, length + 1) == octets


@pytest.mark.parametrize(
    "after",
    [
        2000,
        CHUNK_BYTES // 2,
        CHUNK_BYTES + CHUNK_MULTIPLE + 9,
        2 * CHUNK_BYTES + 7 * CHUNK_MULTIPLE // 2,
        3 * CHUNK_BYTES + 2000,
    ],
)
async def test_an_upload_resumes_where_its_connection_broke(
    open_drive: OpenDrive, watched: tuple[RecordedServer, int], after: int
) -> None:
    octets = bytes(range(256)) * 4096 * 3 + b"the end"
    with open_cutting_port(watched[1]) as way:
        source = await open_drive(way.port, scope=WRITE_SCOPE)
        await source.ping()
        way.cut(after)
        result = await source.upload_file("broken.bin", None, "application/x-new", split_content(octets))
        content = await source.read_range(result["id"], 0, len(octets) + 1)
    assert (way.cuts, content == octets) == (1, True)


async def test_a_connection_that_always_breaks_is_given_up(open_drive: OpenDrive, serve: Serve) -> None:
    names: list[str] = []

    def answer(request: Request) -> Response:
        names.append(request.method)
        location = {"location": f"http://127.0.0.1:{request.url.port}/upload/drive/v3/files?upload_id=1"}
        return Response("", 503) if request.method == "PUT" else Response("", 200, location)

    with serve(serve_answer(answer)) as port:
        source = await open_drive(port, folder="1folder")
        with pytest.raises(ConnectorError, match="broke again and again"):
            await source.upload_file("a", None, "text/plain", split_content(b"abc"))
    assert Counter(names) == {"POST": 1, "PUT": 5}


@pytest.mark.parametrize("location", ["http://127.0.0.1:1/upload", "/upload", "", "https://elsewhere.example/upload"])
async def test_an_upload_goes_to_no_other_host(open_drive: OpenDrive, serve: Serve, location: str) -> None:
    with serve(serve_answer(lambda _: Response("", 200, {"location": location}))) as port:
        source = await open_drive(port, folder="1folder")
        with pytest.raises(ConnectorError, match="cannot be read"):
            await source.upload_file("a", None, "text/plain", split_content(b"abc"))


@pytest.mark.parametrize("heard", ["bytes=0-9", "bytes=1-2", "all of it"])
async def test_drive_cannot_have_more_than_was_sent(open_drive: OpenDrive, serve: Serve, heard: str) -> None:
    def answer(request: Request) -> Response:
        location = {"location": f"http://127.0.0.1:{request.url.port}/upload/drive/v3/files?upload_id=1"}
        return Response("", 308, {"range": heard}) if request.method == "PUT" else Response("", 200, location)

    with serve(serve_answer(answer)) as port:
        source = await open_drive(port, folder="1folder")
        with pytest.raises(ConnectorError, match="cannot be read"):
            await source.upload_file("a", None, "text/plain", split_content(b"abc"))


@pytest.mark.parametrize(
    ("given", "parent", "reason"),
    [
        ({}, None, "drive refused the call with `insufficientPermissions`"),
        ({"scope": WRITE_SCOPE}, "1nothing", MISSING_FILE),
        ({"scope": WRITE_SCOPE}, FILES[0].id, MISSING_FILE),
        (
            {"scope": WRITE_SCOPE, "folder": TEAMS.id},
            FILES[0].parent,
            MISSING_FILE,
        ),
    ],
)
async def test_nothing_is_uploaded_outside_of_the_settings(
    open_drive: OpenDrive, watched: tuple[RecordedServer, int], given: dict[str, str], parent: str | None, reason: str
) -> None:
    source = await open_drive(watched[1], **given)
    with pytest.raises(ConnectorError) as refused:
        await source.upload_file("a", parent, "text/plain", split_content(b"abc"))
    assert refused.value.reason == reason
