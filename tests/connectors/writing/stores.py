"""Open every store of files on a server of its own that records calls and may lose an answer."""

import io
import json
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    closing,
    contextmanager,
)
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import google_auth_httplib2
from azure.core.exceptions import ResourceNotFoundError
from botocore.exceptions import ClientError
from google.oauth2 import service_account
from googleapiclient.discovery import build_from_document
from googleapiclient.http import MediaIoBaseUpload, build_http
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from werkzeug.serving import make_server

from demo.data.files import FOLDER, get_drive_subject
from demo.servers.drive.app import app as drive_app
from demo.servers.drive.auth import build_authority
from demo.servers.drive.auth import build_service_account as made_up
from demo.servers.drive.store import build_store, load_discovery_document
from demo.servers.run import WSGI, check_s3_calls
from demo.servers.slack.app import parse_rates
from onedoor.connectors.drive import connector
from onedoor.connectors.files import folder as files_folder
from onedoor.connectors.files import s3 as files_s3
from tests.servers import azure
from tests.servers.serving import serve_in_thread

HOST = "127.0.0.1"
PATTERN = "customers/{customer_id:int}/{kind}/{name}"
WRITABLE_FOLDERS = ("in/", "customers/")
KEY = made_up()
WRITE_SCOPE = "https://www.googleapis.com/auth/drive"
SECRET = "of-the-tests"
LosesAnswer = Callable[[str, str], bool]
"""A method and the url's path and query in: whether the answer to such a call is lost."""


@dataclass(slots=True, kw_only=True)
class RecordedWire:
    """What was asked of a server, and which answers it loses, each once."""

    requests: list[str] = field(default_factory=list)
    loses: LosesAnswer | None = None
    refuses: int | None = None
    """The status that whatever writes is answered with, and nothing done."""

    def shut(self, method: str, path: str) -> bool:
        return self.refuses is not None and method not in ("GET", "HEAD") and "/token" not in path

    def lost(self, method: str, path: str) -> bool:
        self.requests.append(f"{method} {path}")
        result = self.loses is not None and self.loses(method, path)
        if result:
            self.loses = None
        return result

    @property
    def wrote(self) -> list[str]:
        return [
            item for item in self.requests if item.split()[0] not in ("GET", "HEAD") and not item.endswith("/token?")
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUnderTest:
    """`opened`: the source under test. The rest is the vendor's own client: what somebody else sees and does."""

    name: str
    wire: RecordedWire
    opened: Callable[..., AbstractAsyncContextManager[Any]]
    body: Callable[[str], bytes | None]
    put: Callable[[str, bytes], Any]
    port: int = 0
    id: Callable[[str], str] = lambda path: path


@contextmanager
def serve_app(app: ASGIApp, wire: RecordedWire) -> Iterator[int]:
    with serve_in_thread(lose_answers(app, wire)) as port:
        yield port


def lose_answers(app: ASGIApp, wire: RecordedWire) -> ASGIApp:
    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        if wire.shut(scope["method"], scope["path"]):
            await send({"type": "http.response.start", "status": wire.refuses, "headers": []})
            await send({"type": "http.response.body", "body": b"in/secret words of theirs"})
            return
        if not wire.lost(scope["method"], f"{scope['path']}?{scope['query_string'].decode()}"):
            await app(scope, receive, send)
            return

        async def nobody(_: Message) -> None: ...

        await app(scope, receive, nobody)
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return answered


@contextmanager
def open_s3() -> Iterator[StoreUnderTest]:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app

    wire = RecordedWire()
    moto = check_s3_calls(DomainDispatcherApplication(create_backend_app), SECRET)
    server = make_server(HOST, 0, lose_wsgi_answers(moto, wire), threaded=True, request_handler=MotoRequestHandler)
    server.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    endpoint = f"http://{HOST}:{server.server_port}"
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key=SECRET
    )
    client.create_bucket(Bucket="written")
    given = {"bucket": "written", "endpoint": endpoint, "access_key": "a", "secret_key": SECRET, "timeout": 20.0}
    try:
        yield StoreUnderTest(
            name="s3", wire=wire, port=server.server_port, opened=build_opener(files_s3.KIND, given),
            body=lambda path: read_s3(client, path),
            put=lambda path, body: client.put_object(Bucket="written", Key=path, Body=body),
        )  # fmt: skip
    finally:
        client.close()
        server.shutdown()
        server.server_close()
        thread.join()


def lose_wsgi_answers(app: WSGI, wire: RecordedWire) -> WSGI:
    """Moto's connections are not kept, so that none of its threads is left."""

    def answered(environ: dict[str, Any], start: Any) -> Any:
        if wire.shut(environ["REQUEST_METHOD"], environ["RAW_URI"]):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start(f"{wire.refuses} No", [])
            return [b"<Error><Code>No</Code><Message>in/secret words of theirs</Message></Error>"]
        if wire.lost(environ["REQUEST_METHOD"], environ["RAW_URI"]):
            list(app(environ, lambda *_: None))
            start("500 Internal Server Error", [])
            return [b""]
        return app(environ, start)

    return answered


def read_s3(client: Any, path: str) -> bytes | None:
    try:
        with closing(client.get_object(Bucket="written", Key=path)["Body"]) as body:
            content: bytes = body.read()
            return content
    except ClientError:
        return None


@contextmanager
def open_azure(name: str, url: str, wire: RecordedWire) -> Iterator[StoreUnderTest]:
    blob = name != "azure_files"
    client: Any = azure.blob_client(url) if blob else azure.share_client(url)
    with client:
        there = blob and client.get_container_client("written").exists()
        kind = client.get_container_client if there else client.create_container if blob else client.create_share
        root = kind("written")
        if not blob:
            root.create_directory("in")
        yield StoreUnderTest(
            name=name, wire=wire, port=int(url.split(":")[2].split("/")[0]),
            opened=build_azure_opener(azure.open_container if blob else azure.open_share, url),
            body=lambda path: read_azure(root, path),
            put=lambda path, body: root.upload_blob(path, body, overwrite=True) if blob
            else root.get_file_client(path).upload_file(body),
        )  # fmt: skip


def read_azure(root: Any, path: str) -> bytes | None:
    try:
        if hasattr(root, "download_blob"):
            content: bytes = root.download_blob(path).readall()
        else:
            content = root.get_file_client(path).download_file().readall()
        return content
    except ResourceNotFoundError:
        return None


def build_azure_opener(kind: Any, url: str) -> Callable[..., AbstractAsyncContextManager[Any]]:
    def opening(**more: Any) -> Any:
        return kind(url, "written", **{"writable": True, "writable_below": WRITABLE_FOLDERS, "timeout": 20.0, **more})

    return opening


@contextmanager
def open_azure_emulator(name: str) -> Iterator[StoreUnderTest]:
    wire = RecordedWire()

    @contextmanager
    def serve(app: ASGIApp) -> Iterator[int]:
        with serve_app(app, wire) as port:
            yield port

    with (
        azure.serve_emulator(serve) as emulator,
        open_azure(name, emulator.files if name == "azure_files" else emulator.blob, wire) as place,
    ):
        yield place


@contextmanager
def open_folder(root: Path) -> Iterator[StoreUnderTest]:
    (root / "in").mkdir(parents=True)
    given = {"path": root, "connections": 8}

    def put(path: str, body: bytes) -> None:
        (root / path).write_bytes(body)

    yield StoreUnderTest(
        name="folder", wire=RecordedWire(), opened=build_opener(files_folder.KIND, given), put=put,
        body=lambda path: (root / path).read_bytes() if (root / path).is_file() else None,
    )  # fmt: skip
    shutil.rmtree(root)


def build_opener(kind: Any, given: Mapping[str, Any]) -> Callable[..., AbstractAsyncContextManager[Any]]:
    @asynccontextmanager
    async def opening(**more: Any) -> AsyncIterator[Any]:
        settings = {"pattern": PATTERN, "writable": True, "writable_below": WRITABLE_FOLDERS, **given, **more}
        source = await kind.connect(kind.options(**settings))
        try:
            yield source
        finally:
            await source.close()

    return opening


@contextmanager
def open_drive() -> Iterator[StoreUnderTest]:
    wire, store = RecordedWire(), build_store(0.01)
    served_by = drive_app(build_authority(KEY, frozenset(store.names), 3599, time.time), store, parse_rates([]))
    with ExitStack() as stack:
        port = stack.enter_context(serve_app(served_by, wire))
        client = build_google_client(port)
        stack.callback(client.close)
        id = client.files().create(body={"name": "in", "mimeType": FOLDER}).execute()["id"]
        given = {
            "service_account_key": KEY, "subject": get_drive_subject(0.01), "scope": WRITE_SCOPE, "timeout": 20.0,
            "endpoint": f"http://{HOST}:{port}",
        }  # fmt: skip
        yield StoreUnderTest(
            name="drive",
            wire=wire,
            port=port,
            opened=build_opener(connector.KIND, given),
            body=lambda path: read_drive(client, id, path),
            put=lambda path, body: write_drive(client, id, path, body),
            id=lambda path: find_drive_id(client, id, path) or "none",
        )


def build_google_client(port: int) -> Any:
    """Google's own client."""
    result = json.loads(KEY) | {"token_uri": f"http://{HOST}:{port}/token"}
    signs = service_account.Credentials.from_service_account_info(
        result, scopes=[WRITE_SCOPE], subject=get_drive_subject(0.01)
    )
    spec = {**load_discovery_document(), "rootUrl": f"http://{HOST}:{port}/"}
    spec.pop("mtlsRootUrl", None)
    return build_from_document(spec, http=google_auth_httplib2.AuthorizedHttp(signs, http=build_http()))


def find_drive_id(client: Any, folder: str, path: str) -> str | None:
    name = path.removeprefix("in/").replace("'", "\\'")
    search = f"name = '{name}' and '{folder}' in parents and trashed = false"
    listed = client.files().list(q=search, fields="files(id)").execute()["files"]
    assert len(listed) <= 1, "two files of one path"
    return listed[0]["id"] if listed else None


def read_drive(client: Any, folder: str, path: str) -> bytes | None:
    id = find_drive_id(client, folder, path)
    octets: bytes | None = None if id is None else client.files().get_media(fileId=id).execute()
    return octets


def write_drive(client: Any, folder: str, path: str, body: bytes) -> None:
    media = MediaIoBaseUpload(io.BytesIO(body), "text/plain", resumable=False)
    id = find_drive_id(client, folder, path)
    if id is not None:
        client.files().update(fileId=id, media_body=media).execute()
        return
    metadata = {"name": path.removeprefix("in/"), "parents": [folder]}
    client.files().create(body=metadata, media_body=media).execute()


def open_store(request: Any, folders: Any) -> AbstractContextManager[StoreUnderTest]:
    """What a test's parameter names; `folders` makes new ones."""
    name = request.param
    if name == "azurite":
        return open_azure(name, request.getfixturevalue("azurite_started"), RecordedWire())
    if name == "folder":
        return open_folder(folders.mktemp("written") / "root")
    kinds: Mapping[str, Callable[[], AbstractContextManager[StoreUnderTest]]] = {"s3": open_s3, "drive": open_drive}
    return kinds[name]() if name in kinds else open_azure_emulator(name)
