"""Addresses to upload to, used by whoever holds them with plain HTTP: one file, one way, for minutes."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest

from onedoor.errors import ErrorCode
from onedoor.spi.connector import ChangeKind, ChangeRejected, RowChange, UploadAddress, UploadRequest, UploadStep
from tests.connectors.writing import stores
from tests.connectors.writing.stores import WRITE, Place
from tests.servers.cutting import cutting

GIVING = ("s3", "azure_blob", "azurite", "azure_files", "drive")
BODY = b"what was uploaded"


@pytest.fixture(scope="module", params=GIVING)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with stores.place_of(request, tmp_path_factory) as found:
        yield found


@pytest.fixture
def path() -> str:
    return f"in/é {uuid4().hex}.txt"


def wanted(path: str, **more: Any) -> UploadRequest:
    made = UploadRequest(
        change_id=uuid4().hex, collection="files", key={"path": path}, size=len(BODY), content_type="text/x-acme",
        valid_seconds=3600,
    )  # fmt: skip
    return replace(made, **more)


async def address(place: Place, path: str, **more: Any) -> UploadAddress:
    async with place.opened() as source:
        found: UploadAddress = await source.upload_address(wanted(path, **more))
        return found


def sent(step: UploadStep, body: bytes = BODY, **more: Any) -> int:
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


def all_sent(made: UploadAddress, body: bytes = BODY, **more: Any) -> list[int]:
    return [sent(step, body, **more) for step in made.steps]


async def test_a_file_is_uploaded_and_bears_the_mark_of_its_change(place: Place, path: str) -> None:
    async with place.opened() as source:
        upload = wanted(path)
        made = await source.upload_address(upload)
        assert place.body(path) is None
        answers = all_sent(made)

        assert (set(answers) <= {200, 201}, place.body(path)) == (True, BODY)
        change = RowChange(
            id=upload.change_id, collection="files", kind=ChangeKind.CREATE, key=upload.key, values={"text": ""}
        )
        found = await source.find_change(change)
        assert found is not None
        assert (found.before, found.after["size"]) == (None, len(BODY))


async def test_a_file_that_takes_several_calls_is_uploaded(place: Place, path: str) -> None:
    body = bytes(range(256)) * 4 * 1024 * 5
    made = await address(place, path, size=len(body))
    for step in made.steps:
        assert sent_part(step, body) in (200, 201)

    assert place.body(path) == body


def sent_part(step: UploadStep, body: bytes) -> int:
    data = body[step.offset : step.offset + step.length]
    headers = {"content-type": "application/octet-stream", **step.headers}
    with urlopen(Request(step.url, data=data, headers=headers, method=step.method)) as answer:
        status: int = answer.status
        return status


async def test_it_ends_within_five_minutes_and_says_when(place: Place, path: str) -> None:
    made = await address(place, path)
    assert 290 < (made.expires_at - datetime.now(UTC)).total_seconds() <= 300
    assert made.steps[0].url not in repr(made)


SIGNED = ("s3", "azure_blob", "azurite", "azure_files")


@pytest.mark.parametrize("place", SIGNED, indirect=True)
async def test_it_opens_no_other_file(place: Place, path: str) -> None:
    made = await address(place, path)
    other = path.replace("in/", "in/other ")

    moved = [
        replace(step, url=step.url.replace(quote(path.removeprefix("in/")), quote(other[3:]))) for step in made.steps
    ]
    answers = [sent(step) for step in moved]

    assert moved[0].url != made.steps[0].url
    assert (set(answers), place.body(other)) == ({403}, None)


@pytest.mark.parametrize("place", SIGNED, indirect=True)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_it_neither_reads_nor_deletes(place: Place, path: str, method: str) -> None:
    made = await address(place, path, replace=True)
    place.put(path, BODY)

    assert sent(replace(made.steps[0], headers={}), b"", method=method) == 403
    assert place.body(path) == BODY


@pytest.mark.parametrize("place", SIGNED, indirect=True)
async def test_after_its_end_it_opens_nothing(place: Place, path: str) -> None:
    made = await address(place, path, valid_seconds=1)
    await asyncio.sleep(2.1)

    assert (set(all_sent(made)), place.body(path)) == ({403}, None)


@pytest.mark.parametrize("place", ["drive"], indirect=True)
async def test_drives_session_is_ended_when_its_time_is_over(place: Place, path: str) -> None:
    async with place.opened() as source:
        made = await source.upload_address(wanted(path, valid_seconds=1))
        (ending,) = source.file_writer.upload_sessions.expiry_tasks
        await asyncio.wait_for(asyncio.shield(ending), 10)

        assert (all_sent(made), place.body(path)) == ([404], None)


@pytest.mark.parametrize("place", ["s3"], indirect=True)
async def test_s3_takes_no_other_size_type_or_condition(place: Place, path: str) -> None:
    made = await address(place, path)
    (step,) = made.steps
    without = {name: value for name, value in step.headers.items() if name != "if-none-match"}
    tries = [
        sent(step, BODY + b"more"), sent(replace(step, length=3)),
        sent(replace(step, headers={**step.headers, "content-type": "text/html"})),
        sent(replace(step, headers={**step.headers, "x-amz-acl": "public-read"})), sent(replace(step, headers=without)),
    ]  # fmt: skip

    assert (tries, place.body(path), made.is_bounded) == ([403] * 5, None, True)


@pytest.mark.parametrize("place", ["azure_blob", "azurite", "azure_files", "drive"], indirect=True)
async def test_who_cannot_bound_what_comes_says_so(place: Place, path: str) -> None:
    assert (await address(place, path)).is_bounded is False


@pytest.mark.parametrize("place", ["drive"], indirect=True)
async def test_drive_takes_no_more_than_was_said(place: Place, path: str) -> None:
    made = await address(place, path)

    assert (all_sent(made, BODY + b"more"), place.body(path)) == ([400], None)


@pytest.mark.parametrize("place", ["s3", "azure_blob", "azurite"], indirect=True)
async def test_what_came_meanwhile_is_not_written_over(place: Place, path: str) -> None:
    made = await address(place, path)
    place.put(path, b"another was faster")
    bare: Mapping[str, str] = {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2023-11-03"}
    answers = [*all_sent(made), sent(replace(made.steps[0], headers=bare))]

    assert set(answers) <= {403, 409, 412}
    assert place.body(path) == b"another was faster"


async def test_what_is_there_has_an_address_only_to_be_replaced(place: Place, path: str) -> None:
    place.put(path, b"before")
    async with place.opened() as source:
        with pytest.raises(ChangeRejected) as unmade:
            await source.upload_address(wanted(path))
        made = await source.upload_address(wanted(path, replace=True))
        answers = all_sent(made)

    assert unmade.value.code is ErrorCode.ALREADY_EXISTS
    assert (set(answers) <= {200, 201}, place.body(path)) == (True, BODY)


@pytest.mark.parametrize(
    ("more", "code"),
    [({"size": 2**30 + 1}, ErrorCode.LIMIT_EXCEEDED), ({"size": -1}, ErrorCode.LIMIT_EXCEEDED),
     ({"content_type": "x"}, ErrorCode.BAD_USER_INPUT), ({"key": {"path": "elsewhere/a"}}, ErrorCode.BAD_USER_INPUT)],
)  # fmt: skip
async def test_what_cannot_be_has_no_address(place: Place, path: str, more: dict[str, Any], code: ErrorCode) -> None:
    async with place.opened() as source, place.opened(writable=False) as closed:
        with pytest.raises(ChangeRejected) as unmade:
            await source.upload_address(wanted(path, **more))
        with pytest.raises(ChangeRejected) as shut:
            await closed.upload_address(wanted(path))

    assert (unmade.value.code, shut.value.code) == (code, ErrorCode.CANNOT_ANSWER)


@pytest.mark.parametrize("place", ["folder"], indirect=True)
async def test_a_folder_has_none(place: Place, path: str) -> None:
    async with place.opened() as source:
        assert await source.upload_address(wanted(path)) is None


@pytest.mark.parametrize("place", ["drive"], indirect=True)
async def test_an_upload_to_drive_that_breaks_off_goes_on_where_it_was(place: Place, path: str) -> None:
    """The way breaks in the middle of the content: Drive is asked how far it came, and nothing is sent twice over."""
    body = "0123456789abcdef" * 65_536 * 3
    with cutting(place.port) as way:
        async with place.opened(endpoint=f"http://{stores.HOST}:{way.port}", scope=WRITE) as source:
            await source.ping()
            way.cut(2 * 1024 * 1024)
            change = RowChange(
                id="a", collection="files", kind=ChangeKind.CREATE, key={"path": path}, values={"text": body}
            )
            (came,) = await source.apply([change])

    assert (way.cuts, came.after["size"], place.body(path)) == (1, len(body), body.encode())
