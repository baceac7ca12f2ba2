"""Upload to addresses with plain HTTP: one file, one way, for minutes."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest
import pytest_asyncio

from onedoor.errors import ErrorCode
from onedoor.spi.connector import ChangeKind, ChangeRejected, RowChange, UploadAddress, UploadRequest, UploadStep
from tests.connectors.writing import stores
from tests.connectors.writing.stores import WRITE_SCOPE, StoreUnderTest
from tests.servers.cutting import open_cutting_port

pytestmark = pytest.mark.asyncio(loop_scope="module")
STORES = ("s3", "azure_blob", "azurite", "azure_files", "drive")
BODY = b"what was uploaded"


@pytest.fixture(scope="module", params=STORES)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreUnderTest]:
    with stores.open_store(request, tmp_path_factory) as store:
        yield store


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def source(place: StoreUnderTest) -> AsyncIterator[Any]:
    """One connector for all cases of a store that need no other."""
    async with place.opened() as opened:
        yield opened


@pytest.fixture
def path() -> str:
    return f"in/é {uuid4().hex}.txt"


def build_upload(path: str, **more: Any) -> UploadRequest:
    request = UploadRequest(
        change_id=uuid4().hex, collection="files", key={"path": path}, size=len(BODY), content_type="text/x-acme",
        valid_seconds=3600,
    )  # fmt: skip
    return replace(request, **more)


async def create_address(source: Any, path: str, **more: Any) -> UploadAddress:
    address: UploadAddress = await source.upload_address(build_upload(path, **more))
    return address


def send_step(step: UploadStep, body: bytes = BODY, **more: Any) -> int:
    """As anybody would who knows HTTP and nothing else."""
    data = body[step.offset :] if len(body) > len(BODY) else body[step.offset : step.offset + step.length]
    given: dict[str, Any] = {"method": step.method, "url": step.url, "headers": step.headers, **more}
    headers = {"content-type": "application/octet-stream", **given.pop("headers")}
    try:
        with urlopen(Request(data=data, headers=headers, **given)) as answer:
            status: int = answer.status
            return status
    except HTTPError as error:
        with error:
            return error.code


def send_steps(address: UploadAddress, body: bytes = BODY, **more: Any) -> list[int]:
    return [send_step(step, body, **more) for step in address.steps]


async def test_an_uploaded_file_bears_the_marker_of_its_change(place: StoreUnderTest, source: Any, path: str) -> None:
    upload = build_upload(path)
    upload_address = await source.upload_address(upload)
    assert place.body(path) is None
    answers = send_steps(upload_address)

    assert (set(answers) <= {200, 201}, place.body(path)) == (True, BODY)
    change = RowChange(
        id=upload.change_id, collection="files", kind=ChangeKind.CREATE, key=upload.key, values={"text": ""}
    )
    result = await source.find_change(change)
    assert result is not None
    assert (result.before, result.after["size"]) == (None, len(BODY))


async def test_a_file_that_takes_several_calls_is_uploaded(place: StoreUnderTest, source: Any, path: str) -> None:
    body = bytes(range(256)) * 4 * 1024 * 5
    address = await create_address(source, path, size=len(body))
    for step in address.steps:
        assert send_part(step, body) in (200, 201)

    assert place.body(path) == body


def send_part(step: UploadStep, body: bytes) -> int:
    data = body[step.offset : step.offset + step.length]
    headers = {"content-type": "application/octet-stream", **step.headers}
    with urlopen(Request(step.url, data=data, headers=headers, method=step.method)) as answer:
        status: int = answer.status
        return status


async def test_an_address_ends_within_five_minutes_and_says_when(place: StoreUnderTest, source: Any, path: str) -> None:
    address = await create_address(source, path)
    assert 290 < (address.expires_at - datetime.now(UTC)).total_seconds() <= 300
    assert address.steps[0].url not in repr(address)


SIGNING_STORES = ("s3", "azure_blob", "azurite", "azure_files")


@pytest.mark.parametrize("place", SIGNING_STORES, indirect=True)
async def test_an_address_opens_no_other_file(place: StoreUnderTest, source: Any, path: str) -> None:
    address = await create_address(source, path)
    other = path.replace("in/", "in/other ")

    moved = [
        replace(step, url=step.url.replace(quote(path.removeprefix("in/")), quote(other[3:]))) for step in address.steps
    ]
    answers = [send_step(step) for step in moved]

    assert moved[0].url != address.steps[0].url
    assert (set(answers), place.body(other)) == ({403}, None)


@pytest.mark.parametrize("place", SIGNING_STORES, indirect=True)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_address_neither_reads_nor_deletes(place: StoreUnderTest, source: Any, path: str, method: str) -> None:
    address = await create_address(source, path, replace=True)
    place.put(path, BODY)

    assert send_step(replace(address.steps[0], headers={}), b"", method=method) == 403
    assert place.body(path) == BODY


@pytest.mark.parametrize("place", SIGNING_STORES, indirect=True)
async def test_an_address_opens_nothing_after_its_end(place: StoreUnderTest, source: Any, path: str) -> None:
    address = await create_address(source, path, valid_seconds=1)
    await asyncio.sleep(2.1)

    assert (set(send_steps(address)), place.body(path)) == ({403}, None)


@pytest.mark.parametrize("place", ["drive"], indirect=True)
async def test_drives_session_is_ended_when_its_time_is_over(place: StoreUnderTest, source: Any, path: str) -> None:
    tasks = source.file_writer.upload_sessions.expiry_tasks
    before = set(tasks)
    result = await source.upload_address(build_upload(path, valid_seconds=1))
    (ending,) = tasks - before
    await asyncio.wait_for(asyncio.shield(ending), 60)

    assert (send_steps(result), place.body(path)) == ([404], None)


@pytest.mark.parametrize("place", ["s3"], indirect=True)
async def test_s3_takes_no_other_size_type_or_condition(place: StoreUnderTest, source: Any, path: str) -> None:
    address = await create_address(source, path)
    (step,) = address.steps
    without = {name: value for name, value in step.headers.items() if name != "if-none-match"}
    tries = [
        send_step(step, BODY + b"more"),
        send_step(replace(step, length=3)),
        send_step(replace(step, headers={**step.headers, "content-type": "text/html"})),
        send_step(replace(step, headers={**step.headers, "x-amz-acl": "public-read"})),
        send_step(replace(step, headers=without)),
    ]

    assert (tries, place.body(path), address.is_bounded) == ([403] * 5, None, True)


@pytest.mark.parametrize("place", ["azure_blob", "azurite", "azure_files", "drive"], indirect=True)
async def test_a_store_that_cannot_bound_an_upload_says_so(place: StoreUnderTest, source: Any, path: str) -> None:
    assert (await create_address(source, path)).is_bounded is False


@pytest.mark.parametrize("place", ["drive"], indirect=True)
async def test_drive_takes_no_more_than_the_announced_size(place: StoreUnderTest, source: Any, path: str) -> None:
    address = await create_address(source, path)

    assert (send_steps(address, BODY + b"more"), place.body(path)) == ([400], None)


@pytest.mark.parametrize("place", ["s3", "azure_blob", "azurite"], indirect=True)
async def test_a_file_written_meanwhile_is_not_overwritten(place: StoreUnderTest, source: Any, path: str) -> None:
    address = await create_address(source, path)
    place.put(path, b"another was faster")
    bare: Mapping[str, str] = {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2023-11-03"}
    answers = [*send_steps(address), send_step(replace(address.steps[0], headers=bare))]

    assert set(answers) <= {403, 409, 412}
    assert place.body(path) == b"another was faster"


async def test_an_existing_file_has_an_address_only_to_be_replaced(
    place: StoreUnderTest, source: Any, path: str
) -> None:
    place.put(path, b"before")
    with pytest.raises(ChangeRejected) as unmade:
        await source.upload_address(build_upload(path))
    result = await source.upload_address(build_upload(path, replace=True))
    answers = send_steps(result)

    assert unmade.value.code is ErrorCode.ALREADY_EXISTS
    assert (set(answers) <= {200, 201}, place.body(path)) == (True, BODY)


@pytest.mark.parametrize(
    ("more", "code"),
    [({"size": 2**30 + 1}, ErrorCode.LIMIT_EXCEEDED), ({"size": -1}, ErrorCode.LIMIT_EXCEEDED),
     ({"content_type": "x"}, ErrorCode.BAD_USER_INPUT), ({"key": {"path": "elsewhere/a"}}, ErrorCode.BAD_USER_INPUT)],
)  # fmt: skip
async def test_an_impossible_upload_has_no_address(
    place: StoreUnderTest, path: str, more: dict[str, Any], code: ErrorCode
) -> None:
    async with place.opened() as source, place.opened(writable=False) as closed:
        with pytest.raises(ChangeRejected) as unmade:
            await source.upload_address(build_upload(path, **more))
        with pytest.raises(ChangeRejected) as shut:
            await closed.upload_address(build_upload(path))

    assert (unmade.value.code, shut.value.code) == (code, ErrorCode.CANNOT_ANSWER)


@pytest.mark.parametrize("place", ["folder"], indirect=True)
async def test_a_folder_has_no_addresses(place: StoreUnderTest, source: Any, path: str) -> None:
    assert await source.upload_address(build_upload(path)) is None


@pytest.mark.parametrize("place", ["drive"], indirect=True)
async def test_an_upload_to_drive_that_breaks_off_goes_on_where_it_was(place: StoreUnderTest, path: str) -> None:
    """The way breaks in the middle of the content: Drive is asked how far it came, and nothing is sent twice over."""
    body = "0123456789abcdef" * 65_536 * 3
    with open_cutting_port(place.port) as way:
        async with place.opened(endpoint=f"http://{stores.HOST}:{way.port}", scope=WRITE_SCOPE) as source:
            await source.ping()
            way.cut(2 * 1024 * 1024)
            change = RowChange(
                id="a", collection="files", kind=ChangeKind.CREATE, key={"path": path}, values={"text": body}
            )
            (came,) = await source.apply([change])

    assert (way.cuts, came.after["size"], place.body(path)) == (1, len(body), body.encode())
