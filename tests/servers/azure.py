"""Serve the Azure emulator in this process, and record its calls."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from azure.storage.blob import BlobServiceClient, ContentSettings
from azure.storage.fileshare import ShareServiceClient
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.run import SECRETS
from demo.servers.azure.app import BLOB_ACCOUNT, FILES_ACCOUNT, app
from demo.servers.azure.protocol import Account
from demo.servers.slack.app import parse_rates
from onedoor.connectors.azure import client as azure_client
from onedoor.connectors.azure import connector

FILES_KEY, BLOB_KEY = SECRETS["AZURE_FILES_KEY"], SECRETS["AZURE_BLOB_KEY"]
PATTERN = "customers/{customer_id:int}/{kind}/{name}"


@dataclass(slots=True, kw_only=True)
class AzureEmulator:
    """`asked`: the method and the url's path and query of each call, in their order."""

    url: str
    accounts: tuple[Account, ...]
    requests: list[str] = field(default_factory=list)

    @property
    def files(self) -> str:
        return f"{self.url}/{FILES_ACCOUNT}"

    @property
    def blob(self) -> str:
        return f"{self.url}/{BLOB_ACCOUNT}"


@contextmanager
def serve_emulator(serve: Any, *, page: int = 5000, rate: tuple[str, ...] = ()) -> Iterator[AzureEmulator]:
    accounts = (
        Account(service="file", name=FILES_ACCOUNT, key=azure_client.decode_account_key(FILES_KEY), page=page),
        Account(service="blob", name=BLOB_ACCOUNT, key=azure_client.decode_account_key(BLOB_KEY), page=page),
    )
    emulator = AzureEmulator(url="", accounts=accounts)
    with serve(record_calls(app(accounts, parse_rates(rate)), emulator.requests)) as port:
        emulator.url = f"http://127.0.0.1:{port}"
        yield emulator


def record_calls(served: ASGIApp, requests: list[str]) -> ASGIApp:
    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        requests.append(f"{scope['method']} {scope['raw_path'].decode()}?{scope['query_string'].decode()}")
        await served(scope, receive, send)

    return counting


def share_client(url: str, key: str = FILES_KEY) -> ShareServiceClient:
    """Microsoft's own."""
    return ShareServiceClient(url, credential={"account_name": FILES_ACCOUNT, "account_key": key}, retry_total=0)


def blob_client(url: str, key: str = BLOB_KEY) -> BlobServiceClient:
    """Microsoft's own."""
    return BlobServiceClient(url, credential={"account_name": BLOB_ACCOUNT, "account_key": key}, retry_total=0)


def store_files(url: str, share: str, bodies: dict[str, bytes]) -> None:
    """Over the wire, with the directories on the way."""
    with share_client(url) as client:
        made, there = client.create_share(share), set()
        for path, body in bodies.items():
            steps = path.split("/")[:-1]
            for count in range(1, len(steps) + 1):
                directory = "/".join(steps[:count])
                if directory not in there:
                    made.create_directory(directory)
                there.add(directory)
            made.get_file_client(path).upload_file(body)


def store_blobs(url: str, container: str, bodies: dict[str, bytes]) -> None:
    with blob_client(url) as client:
        result = client.create_container(container)
        for name, body in bodies.items():
            result.upload_blob(name, body, content_settings=ContentSettings(content_type="text/x-acme"))


@asynccontextmanager
async def open_share(url: str, name: str = "small", **more: Any) -> AsyncIterator[connector.AzureFilesConnector]:
    """The source under test."""
    given = {"account": FILES_ACCOUNT, "share": name, "pattern": PATTERN, "base_url": url, "private_addresses": True}
    async with closed(connector.FILES_KIND, given | credentials(FILES_KEY, more)) as source:
        yield source


@asynccontextmanager
async def open_container(url: str, name: str = "small", **more: Any) -> AsyncIterator[connector.AzureBlobConnector]:
    """The source under test."""
    given = {"account": BLOB_ACCOUNT, "container": name, "pattern": PATTERN, "base_url": url, "private_addresses": True}
    async with closed(connector.BLOB_KIND, given | credentials(BLOB_KEY, more)) as source:
        yield source


def credentials(key: str, more: dict[str, Any]) -> dict[str, Any]:
    return more if "sas_token" in more else {"access_key": key} | more


@asynccontextmanager
async def closed(kind: Any, given: dict[str, Any]) -> AsyncIterator[Any]:
    source = await kind.connect(kind.options(**given))
    try:
        yield source
    finally:
        await source.close()
