"""Call the Drive emulator with Google's own client over the wire."""

import io
import json
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from http.client import HTTPException
from typing import Any

import google_auth_httplib2
import httplib2
import pytest
from google.auth.crypt import RSASigner
from google.auth.exceptions import RefreshError
from google.auth.jwt import encode
from google.oauth2 import service_account
from googleapiclient.discovery import build_from_document
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseDownload, MediaIoBaseUpload, build_http

from demo.data.files import (
    DOC,
    FOLDER,
    SHEET,
    build_archive,
    build_shared_drive_id,
    documents,
    get_drive_subject,
    list_shares,
)
from demo.data.operations import employees
from demo.data.random import size
from demo.servers.drive.auth import build_service_account as made_up
from demo.servers.drive.store import list_methods, load_discovery_document
from demo.servers.run import RunningServers, address
from tests.servers.cutting import open_cutting_port

SCALE = 0.01
ALL = documents(SCALE)
KNOWN = {item.id: item for item in ALL}
OWN = [item for item in ALL if item.drive is None]
SUBJECT = get_drive_subject(SCALE)
SCOPES = ("https://www.googleapis.com/auth/drive",)
READ = ("https://www.googleapis.com/auth/drive.metadata.readonly",)
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
STEP = 262_144
Client = Callable[..., Any]


def base(demo_servers: RunningServers) -> str:
    host, port = address(demo_servers, "drive")
    return f"http://{host}:{port}"


@pytest.fixture
def client(called_servers: RunningServers) -> Iterator[Client]:
    """Google's client, for someone, with some scopes, under a key."""
    opened: list[httplib2.Http] = []

    def opening(email: str = SUBJECT, scopes: tuple[str, ...] = SCOPES, key: str = "", root: str = "") -> Any:
        result = json.loads(key or called_servers.environment["DRIVE_KEY"]) | {
            "token_uri": f"{base(called_servers)}/token"
        }
        signs = service_account.Credentials.from_service_account_info(result, scopes=list(scopes), subject=email)
        opened.append(build_http())
        http = google_auth_httplib2.AuthorizedHttp(signs, http=opened[-1])
        spec = deepcopy(dict(load_discovery_document())) | {"rootUrl": f"{root or base(called_servers)}/"}
        spec.pop("mtlsRootUrl", None)
        return build_from_document(spec, http=http)

    yield opening
    for http in opened:
        http.close()


def every(client: Any, **given: Any) -> list[dict[str, Any]]:
    """All pages of a listing."""
    results: list[dict[str, Any]] = []
    request = client.files().list(**given)
    while request is not None:
        answer = request.execute()
        results += answer["files"]
        request = client.files().list_next(request, answer)
    return results


def failed(request: Any) -> tuple[int, str]:
    with pytest.raises(HttpError) as refused:
        request.execute()
    return refused.value.resp.status, json.loads(refused.value.content)["error"]["errors"][0]["reason"]


def test_the_listing_is_what_the_seed_holds(client: Client) -> None:
    result = every(client(), pageSize=37, fields="nextPageToken,files(id,name,mimeType,parents,size,trashed,owners)")
    own = {item["id"]: item for item in result if item["id"] in KNOWN}

    assert own.keys() == {item.id for item in OWN}
    assert [(own[item.id]["name"], own[item.id]["mimeType"], own[item.id]["parents"]) for item in OWN] == [
        (item.name, item.content_type, [item.parent]) for item in OWN
    ]
    assert {own[item.id]["owners"][0]["emailAddress"] == item.owner for item in OWN} == {True}


def test_without_a_mask_a_file_has_its_kind_id_name_and_type_alone(client: Client) -> None:
    answer = client().files().list(pageSize=1).execute()

    assert set(answer) == {"kind", "incompleteSearch", "nextPageToken", "files"}
    assert set(answer["files"][0]) == {"kind", "id", "name", "mimeType"}


CUSTOMERS = next(item for item in OWN if item.name == "Customers")
LEAD = employees(size("employee", SCALE))[1][3]
MIDDLE = sorted(item.modified for item in OWN)[len(OWN) // 2]


@pytest.mark.parametrize(("search", "holds"), [
    pytest.param("name = 'Handbook'", lambda each: each.name == "Handbook", id="a name"),
    pytest.param("name = 'handBOOK'", lambda each: each.name == "Handbook", id="a name in any case"),
    pytest.param(r"name = 'Legal\'s notes.txt'", lambda each: each.name == "Legal's notes.txt", id="an apostrophe"),
    pytest.param("name contains 'pri'", lambda each: "Prices" in each.name, id="how a word begins"),
    pytest.param("name contains 'rices'", lambda each: False, id="not the middle of a word"),
    pytest.param(f"mimeType = '{SHEET}'", lambda each: each.content_type == SHEET, id="a type"),
    pytest.param("mimeType contains 'text/'", lambda each: each.content_type.startswith("text/"), id="some types"),
    pytest.param(f"mimeType != '{FOLDER}' and trashed = false",
                 lambda each: each.content_type != FOLDER and not each.trashed, id="files"),
    pytest.param("trashed = true", lambda each: each.trashed, id="the trash"),
    pytest.param(f"'{CUSTOMERS.id}' in parents", lambda each: each.parent == CUSTOMERS.id, id="a folder"),
    pytest.param("'root' in parents", lambda each: each.name in ("Customers", "Teams"), id="one's own"),
    pytest.param(f"'{LEAD}' in owners", lambda each: each.owner == LEAD, id="an owner"),
    pytest.param(f"'{LEAD}' in writers", lambda each: any(
        share.to == LEAD and share.role in ("owner", "writer") for share in list_shares(each, KNOWN)), id="a writer"),
    pytest.param(f"modifiedTime > '{MIDDLE.isoformat()}'", lambda each: each.modified > MIDDLE, id="since"),
    pytest.param(f"modifiedTime <= '{MIDDLE.replace(tzinfo=None).isoformat()}'", lambda each: each.modified <= MIDDLE,
                 id="until, without a zone"),
    pytest.param("fullText contains 'year renewed'", lambda each: b"Renewed each year" in each.body, id="its words"),
    pytest.param("fullText contains 'renew'", lambda each: False, id="not how a word begins"),
    pytest.param("fullText contains '\"EACH year\"'", lambda each: b"each year" in each.body, id="a phrase"),
    pytest.param("fullText contains '\"renewed year\"'", lambda each: False, id="not a broken phrase"),
    pytest.param("fullText contains '\"plan_2026\" next'",
                 lambda each: "plan 2026" in each.name, id="a phrase of its name, and a word of its text"),
    pytest.param(r"fullText contains 'legal\'s notes'", lambda each: "Legal's notes" in each.name, id="letters alone"),
    pytest.param("fullText contains '東京'", lambda each: "東京".encode() in each.body, id="any alphabet"),
    pytest.param("fullText contains '\"'", lambda each: False, id="no word at all"),
    pytest.param(f"not mimeType = '{FOLDER}' and (name = 'Numbers' or name = 'Handbook')",
                 lambda each: each.name in ("Numbers", "Handbook"), id="not, and, or"),
    pytest.param(f"name = 'Numbers' or name = 'Handbook' and mimeType = '{DOC}'",
                 lambda each: each.name == "Handbook", id="from left to right"),
])  # fmt: skip
def test_a_search_finds_what_it_says(client: Client, search: str, holds: Callable[[Any], bool]) -> None:
    ids = {item["id"] for item in every(client(), q=search, pageSize=1000)}

    assert ids & KNOWN.keys() == {item.id for item in OWN if holds(item)}


@pytest.mark.parametrize("search", [
    "name", "name like 'a'", "name = a", "(name = 'a'", "name = 'a' name = 'b'", "'a", "trashed = maybe",
    "modifiedTime > 'yesterday'", "owner = 'a'", "'nobody' in owners",
])  # fmt: skip
def test_what_is_no_search_is_refused(client: Client, search: str) -> None:
    assert failed(client().files().list(q=search)) == (400, "invalid")


def test_a_folder_that_is_not_there_is_not_found(client: Client) -> None:
    assert failed(client().files().list(q="'1nothing' in parents")) == (404, "notFound")


def test_files_come_in_the_requested_order(client: Client) -> None:
    result = every(client(), q="trashed = false", orderBy="folder,modifiedTime desc", pageSize=50)
    ours = [KNOWN[item["id"]] for item in result if item["id"] in KNOWN]

    assert ours == sorted(ours, key=lambda each: (each.content_type != FOLDER, -each.modified.timestamp()))


def test_what_files_say_comes_in_drives_own_order(client: Client) -> None:
    drive = client()
    search = "fullText contains 'plan' and trashed = false"
    names = [item["name"] for item in every(drive, q=search, pageSize=2)]

    assert names == sorted(names, key=lambda name: "plan" not in name)
    assert failed(drive.files().list(q=search, orderBy="name")) == (403, "forbidden")


def test_a_token_of_a_page_is_good_for_its_question_alone(client: Client) -> None:
    drive = client()
    token = drive.files().list(pageSize=5, q="trashed = false").execute()["nextPageToken"]

    assert failed(drive.files().list(pageSize=5, q="trashed = true", pageToken=token)) == (400, "invalidParameter")
    assert len(drive.files().list(pageSize=7, q="trashed = false", pageToken=token).execute()["files"]) == 7


@pytest.mark.parametrize("name", ["Terms 1.pdf", "volumes-1.csv", "Legal's notes.txt"])
def test_a_file_comes_down_in_ranges(client: Client, name: str) -> None:
    wanted = next(item for item in OWN if item.name == name)
    o = io.BytesIO()
    download = MediaIoBaseDownload(o, client().files().get_media(fileId=wanted.id), chunksize=20)
    while not download.next_chunk()[1]:
        pass

    assert o.getvalue() == wanted.body


@pytest.mark.parametrize(("content_type", "export", "begins"), [
    pytest.param(DOC, "text/plain", b"\xef\xbb\xbfFramework agreement", id="a Doc"),
    pytest.param(SHEET, "text/csv", b"sku,name,price\r\n", id="a Sheet"),
])  # fmt: skip
def test_docs_and_sheets_are_exported(client: Client, content_type: str, export: str, begins: bytes) -> None:
    wanted = next(item for item in OWN if item.content_type == content_type)
    drive = client()

    assert drive.files().export(fileId=wanted.id, mimeType=export).execute().startswith(begins)
    assert failed(drive.files().get_media(fileId=wanted.id)) == (403, "fileNotDownloadable")
    assert failed(drive.files().export(fileId=wanted.id, mimeType="image/png")) == (400, "badRequest")


def test_permissions_are_those_of_a_file_and_of_the_folders_it_lies_in(client: Client) -> None:
    wanted = next(item for item in OWN if item.content_type == DOC)
    mask = "permissions(type,role,emailAddress,domain)"
    permissions = client().permissions().list(fileId=wanted.id, fields=mask).execute()["permissions"]

    assert {(item["type"], item["role"], item.get("emailAddress") or item["domain"]) for item in permissions} == {
        (share.kind, share.role, share.to) for share in list_shares(wanted, KNOWN)
    }


def test_a_share_opens_and_its_end_shuts(client: Client) -> None:
    wanted, other = next(item for item in OWN if item.name == "Terms 2.pdf"), employees(size("employee", SCALE))[4][3]
    drive, theirs = client(), client(other)
    before = failed(theirs.files().get(fileId=wanted.id))
    share = {"type": "user", "role": "reader", "emailAddress": other}
    given = drive.permissions().create(fileId=wanted.id, body=share).execute()
    opened = theirs.files().get(fileId=wanted.id).execute()["name"]
    refused = failed(theirs.permissions().list(fileId=wanted.id))
    drive.permissions().delete(fileId=wanted.id, permissionId=given["id"]).execute()

    assert (before, opened) == ((404, "notFound"), "Terms 2.pdf")
    assert refused == (403, "insufficientFilePermissions")
    assert failed(theirs.files().get(fileId=wanted.id)) == (404, "notFound")


def test_a_shared_drive_is_seen_by_who_asks_for_it(client: Client) -> None:
    drive, home = client(), build_shared_drive_id()
    beside = {"supportsAllDrives": True, "includeItemsFromAllDrives": True, "corpora": "drive", "driveId": home}
    inside = [item for item in ALL if item.drive == home]

    assert [item["name"] for item in drive.drives().list().execute()["drives"]] == [build_archive(SCALE).name]
    assert {item["id"] for item in every(drive, **beside)} == {item.id for item in inside}
    assert failed(drive.files().get(fileId=inside[0].id)) == (404, "notFound")
    assert "owners" not in drive.files().get(fileId=inside[1].id, supportsAllDrives=True, fields="*").execute()


@pytest.mark.parametrize("resumable", [False, True], ids=["multipart", "resumable"])
@pytest.mark.parametrize("octets", [b"", b"a\r\n--b\n", bytes(range(256)) * 3000], ids=["empty", "lines", "large"])
def test_a_file_is_uploaded_renamed_replaced_and_deleted(client: Client, octets: bytes, resumable: bool) -> None:
    drive = client()
    body = {"name": "new é.bin", "parents": [CUSTOMERS.id]}
    media = MediaIoBaseUpload(io.BytesIO(octets), "application/x-new", chunksize=STEP, resumable=resumable)
    result = drive.files().create(body=body, media_body=media, fields="id,name,mimeType,size,parents").execute()
    down = drive.files().get_media(fileId=result["id"]).execute()
    again = MediaIoBaseUpload(io.BytesIO(b"other"), "application/x-new", resumable=resumable)
    drive.files().update(fileId=result["id"], body={"name": "old.bin"}, media_body=again).execute()
    after = drive.files().get(fileId=result["id"], fields="name,size,version").execute()
    drive.files().delete(fileId=result["id"]).execute()

    assert {**result, "id": ""} == {**body, "id": "", "mimeType": "application/x-new", "size": str(len(octets))}
    assert (down, after) == (octets, {"name": "old.bin", "size": "5", "version": "2"})
    assert failed(drive.files().get(fileId=result["id"])) == (404, "notFound")


def test_a_copy_and_what_an_application_keeps_with_a_file(client: Client) -> None:
    drive = client()
    first = {"name": "kept.txt", "parents": [CUSTOMERS.id], "appProperties": {"a": "1", "b": "2"}}
    media = MediaIoBaseUpload(io.BytesIO(b"kept"), "text/plain")
    result = drive.files().create(body=first, media_body=media, fields="id,appProperties").execute()
    drive.files().update(fileId=result["id"], body={"appProperties": {"a": None, "c": "3"}}).execute()
    body = {"name": "copied.txt", "appProperties": {"d": "4"}}
    copy = drive.files().copy(fileId=result["id"], body=body, fields="id,name,parents,appProperties").execute()
    finds = [every(drive, q=f"appProperties has {{ key='{key}' and value='{value}' }}") for key, value in
             (("c", "3"), ("a", "1"), ("d", "4"), ("d", "5"))]  # fmt: skip

    assert drive.files().get_media(fileId=copy["id"]).execute() == b"kept"
    assert (copy["name"], copy["parents"]) == ("copied.txt", [CUSTOMERS.id])
    assert copy["appProperties"] == {"b": "2", "c": "3", "d": "4"}
    assert [len(find) for find in finds] == [2, 0, 1, 0]
    assert failed(drive.files().update(fileId=result["id"], body={"appProperties": {"e": "x" * 124}})) == (
        403, "propertiesLimitExceeded",
    )  # fmt: skip
    for item in (result, copy):
        drive.files().delete(fileId=item["id"]).execute()


def test_an_upload_is_taken_up_where_it_broke_off(
    client: Client, demo_servers: RunningServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a chunk a part is lost on the way: Google's client asks how far it came, and goes on from there."""
    monkeypatch.setattr(httplib2, "RETRIES", 1)  # or it would send again what it has read to its end
    octets = bytes(range(256)) * 4 * 1024
    media = MediaIoBaseUpload(io.BytesIO(octets), "application/x-new", chunksize=2 * STEP, resumable=True)
    with open_cutting_port(demo_servers.ports["drive"]) as way:
        drive = client(root=f"http://127.0.0.1:{way.port}")
        request = drive.files().create(body={"name": "broken.bin"}, media_body=media, fields="id,size")
        way.cut(2 * STEP + STEP + 20_000)
        first = request.next_chunk()[0].resumable_progress
        with pytest.raises((OSError, HTTPException)):
            request.next_chunk()
        _, uploaded = request.next_chunk()

    assert (way.cuts, first, request.resumable_progress, uploaded["size"]) == (1, 2 * STEP, 3 * STEP, str(len(octets)))
    assert client().files().get_media(fileId=uploaded["id"]).execute() == octets


def test_a_query_too_long_for_a_url_is_answered_all_the_same(client: Client) -> None:
    search = " or ".join(f"name = 'none of them {number}'" for number in range(100))

    assert every(client(), q=search) == []


@pytest.mark.parametrize(("ask", "reason"), [
    (lambda drive: drive.files().list(fields="nothing"), "invalidParameter"),
    (lambda drive: drive.files().list(fields="files(id"), "invalidParameter"),
    (lambda drive: drive.files().list(fields="files(id,owners/nothing)"), "invalidParameter"),
    (lambda drive: drive.files().list(orderBy="colour"), "invalidParameter"),
    (lambda drive: drive.files().list(corpora="everything"), "invalidParameter"),
    (lambda drive: drive.about().get(), "required"),
    (lambda drive: drive.files().create(body={"name": "a", "parents": []}), "invalid"),
])  # fmt: skip
def test_what_is_wrong_has_googles_name_for_it(client: Client, ask: Callable[[Any], Any], reason: str) -> None:
    assert failed(ask(client())) == (400, reason)


@pytest.mark.parametrize(("query", "reason"), [
    ("pageSize=0", "invalidParameter"), ("pageSize=1001", "invalidParameter"), ("pageSize=many", "invalidParameter"),
    ("supportsAllDrives=perhaps", "invalidParameter"), ("corpus=all", "invalidParameter"),
    ("alt=xml", "invalidParameter"), ("colour=red", "badRequest"),
])  # fmt: skip
def test_parameters_are_those_of_the_document(
    client: Client, demo_servers: RunningServers, query: str, reason: str
) -> None:
    """Google's client would not send these."""
    response, content = client()._http.request(f"{base(demo_servers)}/drive/v3/files?{query}")

    assert (response.status, json.loads(content)["error"]["errors"][0]["reason"]) == (400, reason)


def test_what_is_declared_and_not_spoken_says_so(client: Client) -> None:
    assert failed(client().changes().getStartPageToken()) == (501, "notImplemented")


def test_every_method_of_the_document_has_a_place() -> None:
    assert len(list_methods()) == 64
    assert len({(method.verb, method.path) for method in list_methods()}) == len(list_methods())


def test_a_scope_allows_what_the_document_says(client: Client) -> None:
    drive = client(scopes=READ)
    wanted = next(item for item in OWN if item.content_type == DOC)

    assert drive.files().get(fileId=wanted.id).execute()["id"] == wanted.id
    assert failed(drive.files().export(fileId=wanted.id, mimeType="text/plain")) == (403, "insufficientPermissions")
    assert failed(drive.files().create(body={"name": "a"})) == (403, "insufficientPermissions")


@pytest.mark.parametrize(("given", "error"), [
    pytest.param({"key": made_up()}, "invalid_grant", id="another's key"),
    pytest.param({"email": "nobody@acme.example"}, "invalid_grant", id="nobody"),
    pytest.param({"scopes": ("https://www.googleapis.com/auth/calendar",)}, "unauthorized_client", id="a scope"),
])  # fmt: skip
def test_a_wrong_assertion_gives_no_token(client: Client, given: dict[str, Any], error: str) -> None:
    with pytest.raises(RefreshError) as refused:
        client(**given).files().list().execute()

    assert refused.value.args[1]["error"] == error


@pytest.mark.parametrize("claims", [
    pytest.param({"aud": "https://elsewhere.example/token"}, id="for another"),
    pytest.param({"iss": "someone@else.example"}, id="by another"),
    pytest.param({"exp": int(time.time()) - 4000, "iat": int(time.time()) - 7000}, id="too late"),
    pytest.param({"iat": int(time.time()) + 4000, "exp": int(time.time()) + 7000}, id="too early"),
    pytest.param({"exp": int(time.time()) + 9000}, id="for too long"),
    pytest.param({"exp": "soon"}, id="no time"),
    pytest.param({"scope": ""}, id="for nothing"),
])  # fmt: skip
def test_an_assertion_is_checked(demo_servers: RunningServers, claims: dict[str, Any]) -> None:
    key, now = json.loads(demo_servers.environment["DRIVE_KEY"]), int(time.time())
    right = {"iss": key["client_email"], "aud": f"{base(demo_servers)}/token", "scope": SCOPES[0], "sub": SUBJECT,
             "iat": now, "exp": now + 3600}  # fmt: skip
    signer = RSASigner.from_service_account_info(key)

    assert posted(demo_servers, encode(signer, right).decode()) == 200
    assert posted(demo_servers, encode(signer, {**right, **claims}).decode()) in (400, 401)


def posted(demo_servers: RunningServers, assertion: str) -> int:
    form = f"grant_type={GRANT}&assertion={assertion}"
    http = httplib2.Http(timeout=10)
    headers = {"content-type": "application/x-www-form-urlencoded"}
    response, _ = http.request(f"{base(demo_servers)}/token", "POST", form, headers)
    http.close()
    return int(response.status)


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer nothing"}, {"authorization": "Basic nothing"}])
def test_without_a_token_nothing_opens(demo_servers: RunningServers, header: dict[str, str]) -> None:
    http = httplib2.Http(timeout=10)
    response, content = http.request(f"{base(demo_servers)}/drive/v3/files", headers=header)
    http.close()

    assert (response.status, json.loads(content)["error"]["errors"][0]["reason"]) == (401, "authError")


def ask_often(drive: Any) -> None:
    for _ in range(120):
        drive.drives().get(driveId=build_shared_drive_id()).execute()


@pytest.mark.exceeds_rate
def test_a_call_too_many_is_refused_as_google_does(client: Client) -> None:
    drive = client()
    with pytest.raises(HttpError) as refused:
        ask_often(drive)

    assert (refused.value.resp.status, refused.value.reason) == (403, "User Rate Limit Exceeded")
