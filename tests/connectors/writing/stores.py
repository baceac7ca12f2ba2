"""Every store that files are written to, each on a server of its own that is counted, and may lose an answer."""

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
import uvicorn
from azure.core.exceptions import ResourceNotFoundError
from botocore.exceptions import ClientError
from google.oauth2 import service_account
from googleapiclient.discovery import build_from_document
from googleapiclient.http import MediaIoBaseUpload, build_http
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from werkzeug.serving import make_server

from demo.data.files import FOLDER, subject
from demo.servers.drive.app import app as drive_app
from demo.servers.drive.auth import authority
from demo.servers.drive.auth import service_account as made_up
from demo.servers.drive.store import document, store
from demo.servers.run import WSGI, strict
from demo.servers.slack.app import rates
from onedoor.connectors.drive import connector
from onedoor.connectors.files import folder as files_folder
from onedoor.connectors.files import s3 as files_s3
from tests.servers import azure

HOST = "127.0.0.1"
PATTERN = "customers/{customer_id:int}/{kind}/{name}"
BELOW = ("in/", "customers/")
KEY = made_up()
WRITE = "https://www.googleapis.com/auth/drive"
SECRET = "of-the-tests"
Loses = Callable[[str, str], bool]
"""A method and the url's path and query in: whether the answer to such a call is lost."""


@dataclass(slots=True, kw_only=True)
class Wire:
    """What was asked of a server, and which answers it loses, each once."""

    asked: list[str] = field(default_factory=list)
    loses: Loses | None = None
    refuses: int | None = None
    """The status that whatever writes is answered with, and nothing done."""

    def shut(self, method: str, path: str) -> bool:
        return self.refuses is not None and method not in ("GET", "HEAD") and "/token" not in path

    def lost(self, method: str, path: str) -> bool:
        self.asked.append(f"{method} {path}")
        found = self.loses is not None and self.loses(method, path)
        if found:
            self.loses = None
        return found

    @property
    def wrote(self) -> list[str]:
        return [each for each in self.asked if each.split()[0] not in ("GET", "HEAD") and not each.endswith("/token?")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`opened`: the source under test. The rest is the vendor's own client: what somebody else sees and does."""

    name: str
    wire: Wire
    opened: Callable[..., AbstractAsyncContextManager[Any]]
    body: Callable[[str], bytes | None]
    put: Callable[[str, bytes], Any]
    port: int = 0
    id: Callable[[str], str] = lambda path: path


@contextmanager
def served(app: ASGIApp, wire: Wire) -> Iterator[int]:
    server = uvicorn.Server(
        uvicorn.Config(losing(app, wire), host=HOST, port=0, log_level="critical", lifespan="off")
    )  # fmt: skip
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def losing(app: ASGIApp, wire: Wire) -> ASGIApp:
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
def s3() -> Iterator[Place]:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app

    wire = Wire()
    moto = strict(DomainDispatcherApplication(create_backend_app), SECRET)
    made = make_server(HOST, 0, gone(moto, wire), threaded=True, request_handler=MotoRequestHandler)
    made.daemon_threads = True
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    endpoint = f"http://{HOST}:{made.server_port}"
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key=SECRET
    )
    client.create_bucket(Bucket="written")
    given = {"bucket": "written", "endpoint": endpoint, "access_key": "a", "secret_key": SECRET, "timeout": 20.0}
    try:
        yield Place(
            name="s3", wire=wire, port=made.server_port, opened=opener(files_s3.KIND, given),
            body=lambda path: of_s3(client, path),
            put=lambda path, body: client.put_object(Bucket="written", Key=path, Body=body),
        )  # fmt: skip
    finally:
        client.close()
        made.shutdown()
        made.server_close()
        thread.join()


def gone(app: WSGI, wire: Wire) -> WSGI:
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


def of_s3(client: Any, path: str) -> bytes | None:
    try:
        with closing(client.get_object(Bucket="written", Key=path)["Body"]) as body:
            found: bytes = body.read()
            return found
    except ClientError:
        return None


@contextmanager
def in_azure(name: str, url: str, wire: Wire) -> Iterator[Place]:
    blob = name != "azure_files"
    client: Any = azure.blob_client(url) if blob else azure.share_client(url)
    with client:
        there = blob and client.get_container_client("written").exists()
        kind = client.get_container_client if there else client.create_container if blob else client.create_share
        root = kind("written")
        if not blob:
            root.create_directory("in")
        yield Place(
            name=name, wire=wire, port=int(url.split(":")[2].split("/")[0]),
            opened=opener_of_azure(azure.container if blob else azure.share, url),
            body=lambda path: of_azure(root, path),
            put=lambda path, body: root.upload_blob(path, body, overwrite=True) if blob
            else root.get_file_client(path).upload_file(body),
        )  # fmt: skip


def of_azure(root: Any, path: str) -> bytes | None:
    try:
        if hasattr(root, "download_blob"):
            found: bytes = root.download_blob(path).readall()
        else:
            found = root.get_file_client(path).download_file().readall()
        return found
    except ResourceNotFoundError:
        return None


def opener_of_azure(kind: Any, url: str) -> Callable[..., AbstractAsyncContextManager[Any]]:
    def opening(**more: Any) -> Any:
        return kind(url, "written", **{"writable": True, "writable_below": BELOW, "timeout": 20.0, **more})

    return opening


@contextmanager
def azure_demo(name: str) -> Iterator[Place]:
    wire = Wire()

    @contextmanager
    def serve(app: ASGIApp) -> Iterator[int]:
        with served(app, wire) as port:
            yield port

    with (
        azure.server(serve) as made,
        in_azure(name, made.files if name == "azure_files" else made.blob, wire) as place,
    ):
        yield place


@contextmanager
def folder(root: Path) -> Iterator[Place]:
    (root / "in").mkdir(parents=True)
    given = {"path": root, "connections": 8}

    def put(path: str, body: bytes) -> None:
        (root / path).write_bytes(body)

    yield Place(
        name="folder", wire=Wire(), opened=opener(files_folder.KIND, given), put=put,
        body=lambda path: (root / path).read_bytes() if (root / path).is_file() else None,
    )  # fmt: skip
    shutil.rmtree(root)


def opener(kind: Any, given: Mapping[str, Any]) -> Callable[..., AbstractAsyncContextManager[Any]]:
    @asynccontextmanager
    async def opening(**more: Any) -> AsyncIterator[Any]:
        written = {"pattern": PATTERN, "writable": True, "writable_below": BELOW, **given, **more}
        source = await kind.connect(kind.options(**written))
        try:
            yield source
        finally:
            await source.close()

    return opening


@contextmanager
def drive() -> Iterator[Place]:
    wire, kept = Wire(), store(0.01)
    served_by = drive_app(authority(KEY, frozenset(kept.names), 3599, time.time), kept, rates([]))
    with ExitStack() as stack:
        port = stack.enter_context(served(served_by, wire))
        client = google(port)
        stack.callback(client.close)
        made = client.files().create(body={"name": "in", "mimeType": FOLDER}).execute()["id"]
        given = {
            "service_account_key": KEY, "subject": subject(0.01), "scope": WRITE, "timeout": 20.0,
            "endpoint": f"http://{HOST}:{port}",
        }  # fmt: skip
        yield Place(
            name="drive", wire=wire, port=port, opened=opener(connector.KIND, given),
            body=lambda path: of_drive(client, made, path), put=lambda path, body: to_drive(client, made, path, body),
            id=lambda path: found(client, made, path) or "none",
        )  # fmt: skip


def google(port: int) -> Any:
    """Google's own client."""
    told = json.loads(KEY) | {"token_uri": f"http://{HOST}:{port}/token"}
    signs = service_account.Credentials.from_service_account_info(told, scopes=[WRITE], subject=subject(0.01))
    spec = {**document(), "rootUrl": f"http://{HOST}:{port}/"}
    spec.pop("mtlsRootUrl", None)
    return build_from_document(spec, http=google_auth_httplib2.AuthorizedHttp(signs, http=build_http()))


def found(client: Any, folder: str, path: str) -> str | None:
    name = path.removeprefix("in/").replace("'", "\\'")
    search = f"name = '{name}' and '{folder}' in parents and trashed = false"
    listed = client.files().list(q=search, fields="files(id)").execute()["files"]
    assert len(listed) <= 1, "two files of one path"
    return listed[0]["id"] if listed else None


def of_drive(client: Any, folder: str, path: str) -> bytes | None:
    id = found(client, folder, path)
    octets: bytes | None = None if id is None else client.files().get_media(fileId=id).execute()
    return octets


def to_drive(client: Any, folder: str, path: str, body: bytes) -> None:
    media = MediaIoBaseUpload(io.BytesIO(body), "text/plain", resumable=False)
    id = found(client, folder, path)
    if id is not None:
        client.files().update(fileId=id, media_body=media).execute()
        return
    said = {"name": path.removeprefix("in/"), "parents": [folder]}
    client.files().create(body=said, media_body=media).execute()


def place_of(request: Any, folders: Any) -> AbstractContextManager[Place]:
    """What a test's parameter names; `folders` makes new ones."""
    name = request.param
    if name == "azurite":
        return in_azure(name, request.getfixturevalue("azurite_started"), Wire())
    if name == "folder":
        return folder(folders.mktemp("written") / "root")
    kinds: Mapping[str, Callable[[], AbstractContextManager[Place]]] = {"s3": s3, "drive": drive}
    return kinds[name]() if name in kinds else azure_demo(name)
