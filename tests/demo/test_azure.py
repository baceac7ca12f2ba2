"""Call the Azure emulator with Microsoft's own clients over the wire, and with calls that they would never send."""

import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import Any
from xml.etree.ElementTree import fromstring

import pyarrow.parquet
import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import (
    BlobSasPermissions,
    BlobServiceClient,
    ContainerClient,
    generate_account_sas,
    generate_blob_sas,
    generate_container_sas,
)
from azure.storage.fileshare import FileSasPermissions, ShareClient, ShareServiceClient, generate_file_sas
from pyarrow import BufferReader

from demo.data import business
from demo.data import files as data_files
from demo.data.random import size
from demo.run import SECRETS
from demo.servers.azure.app import BLOB_ACCOUNT, CONTAINER, FILES_ACCOUNT, SHARE
from demo.servers.run import RunningServers, address, servers
from onedoor.connectors.azure import connector
from onedoor.connectors.azure.client import build_account

SCALE = 0.01
DOCUMENTS = {share_file.path: share_file for share_file in data_files.share_files(SCALE)}
EXPORTS = {container_file.path: container_file for container_file in data_files.container_files(SCALE)}
TABLE = "customers/1/exports/orders.csv"
USAGE = "customers/1/exports/usage.csv"
NOW = datetime.now(UTC)
SOON = NOW + timedelta(hours=3)
FILES_KEY, BLOB_KEY = SECRETS["AZURE_FILES_KEY"], SECRETS["AZURE_BLOB_KEY"]
OTHER_KEY = b64encode(b"of somebody else").decode()


def url(demo_servers: RunningServers, account: str) -> str:
    return "http://{}:{}/".format(*address(demo_servers, "azure")) + account


def shares(demo_servers: RunningServers, key: str = FILES_KEY) -> ShareServiceClient:
    credential = {"account_name": FILES_ACCOUNT, "account_key": key}
    return ShareServiceClient(url(demo_servers, FILES_ACCOUNT), credential=credential, retry_total=0)


def blobs(demo_servers: RunningServers, credential: Any = None) -> BlobServiceClient:
    credential = credential or {"account_name": BLOB_ACCOUNT, "account_key": BLOB_KEY}
    return BlobServiceClient(url(demo_servers, BLOB_ACCOUNT), credential=credential, retry_total=0)


@pytest.fixture
def share(demo_servers: RunningServers) -> Iterator[ShareClient]:
    with shares(demo_servers) as client:
        yield client.get_share_client(SHARE)


@pytest.fixture
def container(demo_servers: RunningServers) -> Iterator[ContainerClient]:
    with blobs(demo_servers) as client:
        yield client.get_container_client(CONTAINER)


def walked(share: ShareClient, directory: str = "") -> Iterator[tuple[str, int, datetime, str]]:
    for file in share.list_directories_and_files(directory, include=["timestamps", "etag"]):
        path = f"{directory}/{file.name}".removeprefix("/")
        if file.is_directory:
            yield from walked(share, path)
        else:
            yield path, file.size, file.last_modified, file.etag


def test_a_walk_through_the_share_finds_every_file_once(share: ShareClient) -> None:
    expected = [
        (document.path, len(document.body), document.modified, document.version) for document in DOCUMENTS.values()
    ]

    assert sorted(walked(share)) == sorted(expected)


def test_the_container_holds_every_export_with_its_type_and_time(container: ContainerClient) -> None:
    pages = list(container.list_blobs().by_page())
    results = [
        (item.name, item.size, item.content_settings.content_type, item.last_modified, item.etag)
        for page in container.list_blobs().by_page()
        for item in page
    ]
    expected = [
        (export.path, len(export.body), export.content_type, export.modified, export.version)
        for export in EXPORTS.values()
    ]

    assert (results, len(pages) > 1) == (sorted(expected), True)


def test_a_prefix_and_a_page_of_ones_own_size(container: ContainerClient) -> None:
    pages = [
        [item.name for item in page] for page in container.list_blobs("customers/2/", results_per_page=2).by_page()
    ]

    assert [len(page) for page in pages] == [2, 1]
    assert sorted(name for page in pages for name in page) == sorted(
        path for path in EXPORTS if path.startswith("customers/2/")
    )


def test_a_file_and_a_blob_have_their_octets_whole_and_in_part(share: ShareClient, container: ContainerClient) -> None:
    for client, wanted in ((share.get_file_client(TABLE), DOCUMENTS), (container.get_blob_client(USAGE), EXPORTS)):
        body = wanted[TABLE if wanted is DOCUMENTS else USAGE].body
        download = client.download_file if wanted is DOCUMENTS else client.download_blob

        assert (download().readall(), download(offset=3, length=5).readall()) == (body, body[3:8])


def test_the_parquet_file_holds_the_customers(container: ContainerClient) -> None:
    octets = container.download_blob("exports/customers.parquet").readall()
    result = pyarrow.parquet.read_table(BufferReader(octets)).to_pylist()

    whole = business.get_company_size(SCALE)
    assert [tuple(row.values()) for row in result] == [
        business.build_customer(number, whole) for number in range(1, size("stored_customer", SCALE) + 1)
    ]


def test_scans_are_pdf_that_names_its_customer() -> None:
    scan = next(document for document in DOCUMENTS.values() if "/1/scans/agreement" in document.path)
    start = int(scan.body.split(b"startxref\n")[1].split(b"\n")[0])

    assert (scan.body[:5], scan.body[start : start + 4]) == (b"%PDF-", b"xref")
    assert business.build_customer(1, business.get_company_size(SCALE))[1].encode("latin-1", "replace") in scan.body


def test_what_the_clients_upload_they_find_again(demo_servers: RunningServers) -> None:
    body = bytes(range(256)) * 20_000
    with shares(demo_servers) as files, blobs(demo_servers) as objects:
        share = files.create_share("uploaded")
        share.create_directory("Ä b")
        share.get_file_client("Ä b/é +%.bin").upload_file(body)
        share.get_file_client("empty").upload_file(b"")
        objects.create_container("uploaded").upload_blob("a b/é +%.bin", body)
        results = [
            share.get_file_client("ä B/É +%.BIN").download_file().readall(),
            share.get_file_client("empty").download_file().readall(),
            objects.get_blob_client("uploaded", "a b/é +%.bin").download_blob().readall(),
        ]
        share.get_file_client("empty").delete_file()
        listed = [[file.name for file in share.list_directories_and_files(directory)] for directory in ("", "Ä B")]

    assert results == [body, b"", body]
    assert listed == [["Ä b"], ["é +%.bin"]]


ABSENT: tuple[tuple[str, Callable[[ShareClient, ContainerClient], Any]], ...] = (
    ("404 ResourceNotFound", lambda share, _: share.get_file_client("nowhere").get_file_properties()),
    ("404 ResourceNotFound", lambda share, _: share.get_file_client("nowhere").download_file()),
    ("404 ResourceNotFound", lambda share, _: list(share.list_directories_and_files("nowhere"))),
    ("404 ParentNotFound", lambda share, _: share.get_file_client("nowhere/a").upload_file(b"")),
    ("409 ResourceTypeMismatch", lambda share, _: share.get_file_client("customers").download_file()),
    ("416 InvalidRange", lambda share, _: share.get_file_client(TABLE).download_file(offset=10**6, length=1)),
    ("404 BlobNotFound", lambda _, container: container.download_blob("nowhere")),
    ("404 BlobNotFound", lambda _, container: container.get_blob_client("nowhere").get_blob_properties()),
    ("416 InvalidRange", lambda _, container: container.download_blob(USAGE, offset=10**6, length=1)),
    ("400 UnsupportedQueryParameter", lambda _, container: list(container.walk_blobs())),
    ("409 ContainerAlreadyExists", lambda _, container: container.create_container()),
)


@pytest.mark.parametrize(("code", "act"), ABSENT, ids=[str(number) for number in range(len(ABSENT))])
def test_what_cannot_be_done_is_refused_in_azures_words(
    share: ShareClient, container: ContainerClient, code: str, act: Callable[[ShareClient, ContainerClient], Any]
) -> None:
    assert refusal(lambda: act(share, container)) == code


def refusal(act: Callable[[], Any]) -> str:
    with pytest.raises(HttpResponseError) as caught:
        act()
    return f"{caught.value.status_code} {getattr(caught.value.error_code, 'value', caught.value.error_code)}"  # type: ignore[attr-defined]


def test_another_key_opens_nothing(demo_servers: RunningServers) -> None:
    with (
        shares(demo_servers, OTHER_KEY) as files,
        blobs(demo_servers, {"account_name": BLOB_ACCOUNT, "account_key": OTHER_KEY}) as b,
    ):
        code = [refusal(lambda: list(files.list_shares())), refusal(lambda: list(b.list_containers()))]

    assert code == ["403 AuthenticationFailed"] * 2


FAILED = "AuthenticationFailed"
AT = f"/{BLOB_ACCOUNT}/{CONTAINER}/{USAGE}"
VERSION = "2023-11-03"


@pytest.mark.parametrize(
    ("seconds_ago", "change", "status"),
    [
        pytest.param(0, {}, 200, id="nothing"),
        pytest.param(0, {"path": f"/{BLOB_ACCOUNT}/{CONTAINER}/exports/customers.parquet"}, 403, id="the path"),
        pytest.param(0, {"query": "?snapshot=1"}, 403, id="the query"),
        pytest.param(0, {"method": "HEAD"}, 403, id="the method"),
        pytest.param(0, {"headers": {"x-ms-version": "2020-02-10"}}, 403, id="a header"),
        pytest.param(0, {"headers": {"x-ms-range": "bytes=0-1"}}, 403, id="one header more"),
        pytest.param(0, {"headers": {"Range": "bytes=0-1"}}, 403, id="a header that is not Azure's own"),
        pytest.param(0, {"headers": {"Authorization": f"SharedKey {BLOB_ACCOUNT}:bm8="}}, 403, id="the signature"),
        pytest.param(3600, {}, 403, id="nothing, but an hour ago"),
    ],
)
def test_a_call_that_was_changed_no_longer_has_its_signature(
    demo_servers: RunningServers, seconds_ago: int, change: dict[str, Any], status: int
) -> None:
    options = connector.AzureBlobOptions(
        account=BLOB_ACCOUNT, container=CONTAINER, pattern="{name}", access_key=BLOB_KEY, private_addresses=True,
        base_url=url(demo_servers, BLOB_ACCOUNT),
    )  # fmt: skip
    opened = build_account("blob", CONTAINER, options)
    signed_at = datetime.now(UTC).timestamp() - seconds_ago
    signed = {"x-ms-date": formatdate(signed_at, usegmt=True), "x-ms-version": VERSION}
    headers = {**opened.sign_headers(AT, (), signed), **change.get("headers", {})}
    place = url(demo_servers, "").removesuffix("/") + change.get("path", AT) + change.get("query", "")

    assert fetched(place, change.get("method", "GET"), headers)[0] == status


def sas(given: dict[str, Any], key: str = BLOB_KEY, name: str = USAGE) -> str:
    permission = BlobSasPermissions.from_string(given.pop("permission", "r"))
    return generate_blob_sas(
        BLOB_ACCOUNT, CONTAINER, name, account_key=key, permission=permission, **{"expiry": SOON} | given
    )  # fmt: skip


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [
        pytest.param(lambda: sas({}), 200, "", id="of this blob"),
        pytest.param(lambda: sas({"start": NOW - timedelta(hours=1), "content_type": "a/b"}), 200, "", id="with more"),
        pytest.param(lambda: sas({}, OTHER_KEY), 403, FAILED, id="by another key"),
        pytest.param(lambda: sas({}, name="exports/customers.parquet"), 403, FAILED, id="of another blob"),
        pytest.param(lambda: sas({}).replace("sp=r", "sp=rw"), 403, FAILED, id="with more permissions written in"),
        pytest.param(lambda: sas({}).replace("sr=b", "sr=c"), 403, FAILED, id="with a wider resource written in"),
        pytest.param(lambda: sas({"expiry": NOW - timedelta(minutes=1)}), 403, FAILED, id="expired"),
        pytest.param(lambda: sas({"start": SOON, "expiry": SOON}), 403, FAILED, id="not yet valid"),
        pytest.param(lambda: sas({"permission": "w"}), 403, "AuthorizationPermissionMismatch", id="not to read"),
        pytest.param(lambda: sas({"protocol": "https"}), 403, "AuthorizationProtocolMismatch", id="https alone"),
        pytest.param(lambda: sign_container("rl"), 200, "", id="of its container"),
        pytest.param(
            lambda: sign_container("l"), 403, "AuthorizationPermissionMismatch", id="of its container, not to read"
        ),
        pytest.param(lambda: sign_container("rl", "other"), 403, FAILED, id="of another container"),
        pytest.param(lambda: account("b", "o"), 200, "", id="of the account"),
        pytest.param(lambda: account("f", "o"), 403, "AuthorizationServiceMismatch", id="of another service"),
        pytest.param(lambda: account("b", "sc"), 403, "AuthorizationResourceTypeMismatch", id="of no objects"),
        pytest.param(lambda: "sv=2023-11-03&sig=a", 403, FAILED, id="of nothing"),
        pytest.param(lambda: "", 401, "NoAuthenticationInformation", id="none"),
    ],
)
def test_a_sas_opens_what_it_says_and_no_more(
    demo_servers: RunningServers, token: Callable[[], str], status: int, code: str
) -> None:
    status_code, headers, body = fetched(f"{url(demo_servers, BLOB_ACCOUNT)}/{CONTAINER}/{USAGE}?{token()}")

    assert (status_code, headers.get("x-ms-error-code", "")) == (status, code)
    if status == 200:
        assert body == EXPORTS[USAGE].body
    else:
        assert fromstring(body).findtext("Code") == code


def sign_container(permission: str, name: str = CONTAINER) -> str:
    return generate_container_sas(BLOB_ACCOUNT, name, account_key=BLOB_KEY, permission=permission, expiry=SOON)


def account(services: str, kinds: str) -> str:
    return generate_account_sas(BLOB_ACCOUNT, BLOB_KEY, kinds, "rl", SOON, services=services)


def fetched(at: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> tuple[int, Any, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(at, method=method, headers=dict(headers or {}))) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_a_sas_of_a_file_opens_that_file(demo_servers: RunningServers) -> None:
    permission = FileSasPermissions(read=True)
    given = generate_file_sas(FILES_ACCOUNT, SHARE, TABLE.split("/"), FILES_KEY, permission=permission, expiry=SOON)
    place = f"{url(demo_servers, FILES_ACCOUNT)}/{SHARE}"

    assert fetched(f"{place}/{TABLE}?{given}")[::2] == (200, DOCUMENTS[TABLE].body)
    assert [fetched(f"{place}/{other}?{given}")[0] for other in ("templates/letter.txt", "customers")] == [403, 403]
    assert fetched(f"{place}/{TABLE}?{given}", "DELETE")[0] == 403


def test_an_answer_names_itself_and_its_version(demo_servers: RunningServers) -> None:
    _, headers, body = fetched(f"{url(demo_servers, BLOB_ACCOUNT)}/{CONTAINER}/{USAGE}")

    assert len(headers["x-ms-request-id"]) == 36
    assert headers["x-ms-request-id"] in (fromstring(body).findtext("Message") or "")
    assert headers["x-ms-version"] == "2026-10-06"


def test_an_account_that_is_not_there(demo_servers: RunningServers) -> None:
    assert fetched(url(demo_servers, "nobody") + "/?comp=list")[0] == 404


def test_a_server_called_too_often_is_busy() -> None:
    often = {"azure": ("--rate", "blob=1")}
    with (
        servers(("azure",), scale=SCALE, environment=SECRETS, options=often) as demo_servers,
        blobs(demo_servers) as client,
        shares(demo_servers) as files,
    ):
        client.get_container_client(CONTAINER).get_container_properties()
        error = refusal(lambda: client.get_container_client(CONTAINER).get_container_properties())
        others = [share.name for share in files.list_shares()]

    assert error == "503 ServerBusy"
    assert SHARE in others
