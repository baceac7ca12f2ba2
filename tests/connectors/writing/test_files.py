"""Put, copy and delete files in every store, and look at them with the vendors' own clients."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from onedoor.connectors.files.writes import WRITABLE_COLUMNS
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.connector import (
    ChangeKind,
    ChangeRejected,
    ChangeResult,
    RowChange,
    RowValues,
    UploadTarget,
    WritableConnector,
    WriteCapabilities,
)
from onedoor.spi.scan import KeyFilter, ScanRequest
from tests.connectors.writing import stores
from tests.connectors.writing.stores import StoreUnderTest

pytestmark = pytest.mark.asyncio(loop_scope="module")
STORES = ("s3", "azure_blob", "azurite", "azure_files", "folder", "drive")
BEFORE, AFTER = b"as it was", b"as it is now"
TYPED = {"text": "as it is now", "content_type": "text/x-acme"}


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


def build_file_change(
    verb: ChangeKind, path: str, *, version: str | None = None, id: str = "", **values: Any
) -> RowChange:
    given = {"text": AFTER.decode()} if not values and verb is not ChangeKind.DELETE else values
    key = {"path": path}
    return RowChange(id=id or uuid4().hex, collection="files", kind=verb, key=key, values=given, version=version)


async def apply_change(source: Any, *changes: RowChange, dry: bool = False) -> ChangeResult:
    (result,) = await source.apply(changes, dry_run=dry)
    return result


async def get_refusal(source: Any, change: RowChange, *, dry: bool = False) -> ErrorCode:
    with pytest.raises(ChangeRejected) as unmade:
        await source.apply([change], dry_run=dry)
    return unmade.value.code


async def read_row(source: Any, place: StoreUnderTest, path: str) -> RowValues | None:
    columns = tuple(source.capabilities("files").columns)
    ask = ScanRequest(collection="files", columns=columns, keys=KeyFilter(("id",), ((place.id(path),),)))
    results = [dict(zip(columns, item, strict=True)) async for rows in source.scan(ask) for item in rows]
    return results[0] if results else None


async def test_write_capabilities_follow_the_settings(place: StoreUnderTest) -> None:
    async with place.opened() as source, place.opened(writable=False) as closed:
        assert isinstance(source, WritableConnector)
        assert isinstance(source, UploadTarget)
        assert source.write_capabilities("files") == WriteCapabilities(
            settable_columns={
                ChangeKind.CREATE: WRITABLE_COLUMNS,
                ChangeKind.PUT: WRITABLE_COLUMNS,
                ChangeKind.DELETE: frozenset(),
            },
            version_column="version",
        )
        assert (source.write_capabilities("text"), closed.write_capabilities("files")) == (None, None)


@pytest.mark.parametrize("verb", [ChangeKind.CREATE, ChangeKind.PUT])
async def test_a_new_file_is_created(place: StoreUnderTest, source: Any, path: str, verb: ChangeKind) -> None:
    came = await apply_change(source, build_file_change(verb, path, content=b64encode(AFTER).decode()))

    assert place.body(path) == AFTER
    assert came == ChangeResult(before=None, after=await read_row(source, place, path))
    assert came.after is not None
    assert came.after["size"] == len(AFTER)


async def test_an_empty_file_is_a_file(place: StoreUnderTest, source: Any, path: str) -> None:
    await apply_change(source, build_file_change(ChangeKind.CREATE, path, text=""))

    assert place.body(path) == b""


async def test_an_existing_file_is_not_created_again(place: StoreUnderTest, source: Any, path: str) -> None:
    place.put(path, BEFORE)
    assert await get_refusal(source, build_file_change(ChangeKind.CREATE, path)) is ErrorCode.ALREADY_EXISTS

    assert place.body(path) == BEFORE


async def test_an_existing_file_is_replaced(place: StoreUnderTest, source: Any, path: str) -> None:
    place.put(path, BEFORE)
    row = await read_row(source, place, path)
    came = await apply_change(source, build_file_change(ChangeKind.PUT, path, **TYPED))

    assert came == ChangeResult(before=row, after=await read_row(source, place, path))
    assert place.body(path) == AFTER


async def test_a_file_is_deleted(place: StoreUnderTest, source: Any, path: str) -> None:
    place.put(path, BEFORE)
    row = await read_row(source, place, path)
    deletion = build_file_change(ChangeKind.DELETE, path)

    assert await apply_change(source, deletion) == ChangeResult(before=row, after=None)
    assert place.body(path) is None
    assert await get_refusal(source, build_file_change(ChangeKind.DELETE, path)) is ErrorCode.NOT_FOUND
    change = await source.find_change(deletion)
    assert change is not None
    assert change.after is None


async def test_a_copy_is_made_by_the_store(place: StoreUnderTest, source: Any, path: str) -> None:
    place.put(path, BEFORE)
    copy = build_file_change(ChangeKind.CREATE, f"{path}.copy", copy_of=place.id(path))
    came = await apply_change(source, copy)

    assert (place.body(f"{path}.copy"), place.body(path)) == (BEFORE, BEFORE)
    assert came == ChangeResult(before=None, after=await read_row(source, place, f"{path}.copy"))
    assert await get_refusal(source, build_file_change(ChangeKind.CREATE, f"{path}.copy", copy_of=place.id(path))) is (
        ErrorCode.ALREADY_EXISTS
    )
    assert (
        await get_refusal(source, build_file_change(ChangeKind.CREATE, f"{path}.more", copy_of="nothing"))
        is ErrorCode.NOT_FOUND
    )


@pytest.mark.parametrize("verb", [ChangeKind.PUT, ChangeKind.DELETE])
async def test_a_lost_update_is_refused(place: StoreUnderTest, source: Any, path: str, verb: ChangeKind) -> None:
    place.put(path, BEFORE)
    seen = await read_row(source, place, path)
    assert seen is not None
    place.put(path, b"somebody else's")

    assert (
        await get_refusal(source, build_file_change(verb, path, version=seen["version"])) is ErrorCode.VERSION_CONFLICT
    )
    assert place.body(path) == b"somebody else's"
    now = await read_row(source, place, path)
    assert now is not None
    await apply_change(source, build_file_change(verb, path, version=now["version"]))
    assert place.body(path) == (AFTER if verb is ChangeKind.PUT else None)
    absent = build_file_change(verb, f"{path}.none", version=now["version"])
    assert await get_refusal(source, absent) in (ErrorCode.VERSION_CONFLICT, ErrorCode.NOT_FOUND)


async def race(place: StoreUnderTest, changes: list[RowChange]) -> list[ChangeResult | ErrorCode]:
    """Each through a connector of its own; Drive compares nothing itself, so there one connector applies all."""

    async def one(source: Any, change: RowChange) -> ChangeResult | ErrorCode:
        try:
            return await apply_change(source, change)
        except ChangeRejected as unmade:
            return unmade.code

    async with place.opened() as source, place.opened() as other:
        connectors = [source, source if place.name == "drive" else other]
        return await asyncio.gather(*(one(connectors[turn % 2], change) for turn, change in enumerate(changes)))


@pytest.mark.parametrize("verb", [ChangeKind.PUT, ChangeKind.CREATE])
async def test_exactly_one_of_two_writers_wins(place: StoreUnderTest, path: str, verb: ChangeKind) -> None:
    version, code = None, ErrorCode.ALREADY_EXISTS
    if verb is ChangeKind.PUT:
        place.put(path, BEFORE)
        async with place.opened() as source:
            row = await read_row(source, place, path)
            assert row is not None
            version, code = row["version"], ErrorCode.VERSION_CONFLICT
    changes = [build_file_change(verb, path, version=version, text=f"writer {number}") for number in range(6)]
    came = await race(place, changes)

    winners = [number for number, each in enumerate(came) if isinstance(each, ChangeResult)]
    assert len(winners) == 1
    assert place.body(path) == f"writer {winners[0]}".encode()
    assert [item for item in came if not isinstance(item, ChangeResult)] == [code] * 5


async def test_writers_without_a_version_replace_one_another_in_turn(place: StoreUnderTest, path: str) -> None:
    """What each says was before is what another left: nothing is lost unseen."""
    place.put(path, BEFORE)
    came = await race(place, [build_file_change(ChangeKind.PUT, path, text=f"writer {number}") for number in range(3)])

    items = [item for item in came if isinstance(item, ChangeResult)]
    befores = {item.before["version"] for item in items if item.before is not None}
    afters = {item.after["version"] for item in items if item.after is not None}
    assert len(items) == len(befores) == len(afters) == 3
    assert len(befores - afters) == len(afters - befores) == 1


async def test_a_change_is_found_again_by_its_id_after_others_were_made(place: StoreUnderTest, path: str) -> None:
    async with place.opened() as source, place.opened() as later:
        first, second = (
            build_file_change(ChangeKind.PUT, path, text="1"),
            build_file_change(ChangeKind.PUT, path, text="22"),
        )
        result, two = await apply_change(source, first), await apply_change(source, second)
        assert result.after is not None
        assert two.after is not None

        again = await later.find_change(first)
        assert again is not None
        assert again.before is None
        assert again.after is not None
        assert again.after["version"] == result.after["version"]
        last = await later.find_change(second)
        assert last is not None
        assert last.before is not None
        assert (last.before["version"], last.after) == (result.after["version"], two.after)
        assert await later.find_change(build_file_change(ChangeKind.PUT, path)) is None


async def test_a_file_that_is_changed_often_keeps_the_markers_of_the_last_changes(
    place: StoreUnderTest, source: Any, path: str
) -> None:
    changes = [build_file_change(ChangeKind.PUT, path, text=f"{number}" * 3) for number in range(14)]
    for change in changes:
        await apply_change(source, change)
    known = [await source.find_change(change) is not None for change in changes]

    assert known[-12:] == [True] * 12


async def test_a_copy_does_not_take_over_what_was_done_to_its_original(
    place: StoreUnderTest, source: Any, path: str
) -> None:
    original = build_file_change(ChangeKind.CREATE, path)
    await apply_change(source, original)
    copy = build_file_change(ChangeKind.CREATE, f"{path}.copy", copy_of=place.id(path))
    await apply_change(source, copy)

    assert await source.find_change(copy) is not None
    mistaken = build_file_change(ChangeKind.CREATE, f"{path}.copy", id=original.id)
    change = await source.find_change(mistaken)
    assert change is None or change.after["path"] == path


LOST_ANSWERS = {
    "s3": lambda method, path: method == "PUT",
    "azure_blob": lambda method, path: method == "PUT",
    "azure_files": lambda method, path: "comp=rename" in path,
    "drive": lambda method, path: "/copy" in path,
}
"""By store, the call after which it is made; Drive's uploads are asked for again by themselves."""


@pytest.mark.parametrize("place", LOST_ANSWERS, indirect=True)
async def test_a_change_whose_answer_was_lost_is_found(place: StoreUnderTest, source: Any, path: str) -> None:
    place.put(path, BEFORE)
    values = {"copy_of": place.id(path)} if place.name == "drive" else {"text": "as it is now"}
    change = build_file_change(ChangeKind.PUT, f"{path}.lost", **values)
    place.wire.loses = LOST_ANSWERS[place.name]
    with pytest.raises(ConnectorError):
        await source.apply([change])

    came = await source.find_change(change)
    assert came == ChangeResult(before=None, after=await read_row(source, place, f"{path}.lost"))


@pytest.mark.parametrize("place", LOST_ANSWERS, indirect=True)
@pytest.mark.parametrize("status", [400, 403, 429, 500, 503])
@pytest.mark.parametrize("verb", [ChangeKind.PUT, ChangeKind.DELETE])
async def test_a_refusal_of_the_store_is_reported_without_its_words(
    place: StoreUnderTest, source: Any, path: str, verb: ChangeKind, status: int
) -> None:
    """Where it said no, it is certain that nothing was done; where it broke, that is not known."""
    place.put(path, BEFORE)
    place.wire.refuses = status
    try:
        with pytest.raises((ChangeRejected, ConnectorError)) as failure:
            await source.apply([build_file_change(verb, path)])
    finally:
        place.wire.refuses = None

    assert isinstance(failure.value, ChangeRejected) or status in (429, 500, 503)
    assert not {"secret", "theirs", path, stores.HOST} & set(failure.value.reason.split())  # type: ignore[attr-defined]
    assert place.body(path) == BEFORE
    await apply_change(source, build_file_change(verb, path))
    assert place.body(path) == (AFTER if verb is ChangeKind.PUT else None)


async def test_a_dry_run_leaves_no_trace(place: StoreUnderTest, source: Any, path: str) -> None:
    place.put(path, BEFORE)
    place.wire.requests.clear()
    row = await read_row(source, place, path)
    name = path.rpartition("/")[2]
    put = await apply_change(source, build_file_change(ChangeKind.PUT, path), dry=True)
    deleted = await apply_change(source, build_file_change(ChangeKind.DELETE, path), dry=True)
    copied = await apply_change(
        source, build_file_change(ChangeKind.CREATE, f"{path}.copy", copy_of=place.id(path)), dry=True
    )

    assert await get_refusal(source, build_file_change(ChangeKind.CREATE, path), dry=True) is ErrorCode.ALREADY_EXISTS
    assert put.after is not None
    assert (put.before, put.after["size"]) == (row, len(AFTER))
    assert copied.after is not None
    assert (copied.after["name"], copied.after["size"]) == (
        f"{name}.copy",
        len(BEFORE),
    )
    assert deleted == ChangeResult(before=row, after=None)
    assert (place.body(path), place.body(f"{path}.copy"), place.wire.wrote) == (BEFORE, None, [])


@pytest.mark.parametrize("place", [store for store in STORES if store != "drive"], indirect=True)
async def test_a_key_may_be_the_parts_of_the_path(place: StoreUnderTest, source: Any) -> None:
    name = f"{uuid4().hex}.txt"
    key = {"customer_id": 7, "kind": "notes", "name": name}
    came = await apply_change(
        source, RowChange(id="a", collection="files", kind=ChangeKind.PUT, key=key, values={"text": "as it is now"})
    )  # fmt: skip
    lying = {"path": f"customers/8/notes/{name}", "customer_id": 7}

    assert came.after is not None
    assert came.after["customer_id"] == 7
    assert place.body(f"customers/7/notes/{name}") == AFTER
    for item in (lying, {"customer_id": 7, "kind": "a/b", "name": name}, {"kind": "notes"}, {"colour": "red"}):
        change = RowChange(id="b", collection="files", kind=ChangeKind.PUT, key=item, values={"text": ""})
        assert await get_refusal(source, change) is ErrorCode.BAD_USER_INPUT


@pytest.mark.parametrize(
    ("values", "code"),
    [
        pytest.param({"colour": "red", "text": ""}, ErrorCode.BAD_USER_INPUT, id="a column that no file takes"),
        pytest.param({"text": "a", "content": "YQ=="}, ErrorCode.BAD_USER_INPUT, id="two contents"),
        pytest.param({"content_type": "text/plain"}, ErrorCode.BAD_USER_INPUT, id="no content"),
        pytest.param({"content": "no base64!"}, ErrorCode.BAD_USER_INPUT, id="no base64"),
        pytest.param({"content": "é"}, ErrorCode.BAD_USER_INPUT, id="nothing like base64"),
        pytest.param({"text": "\ud800"}, ErrorCode.BAD_USER_INPUT, id="half of a character"),
        pytest.param({"text": 7}, ErrorCode.BAD_USER_INPUT, id="no text"),
        pytest.param(
            {"text": "", "content_type": "text/html\r\nx: y"}, ErrorCode.BAD_USER_INPUT, id="a header in a type"
        ),
        pytest.param({"copy_of": "../secret"}, ErrorCode.BAD_USER_INPUT, id="a copy from outside"),
        pytest.param({"text": "a" * (4 * 2**20 + 1)}, ErrorCode.LIMIT_EXCEEDED, id="too much"),
    ],
)
async def test_what_cannot_be_content_is_refused_before_a_call(
    place: StoreUnderTest, source: Any, path: str, values: dict[str, Any], code: ErrorCode
) -> None:
    place.wire.requests.clear()

    assert await get_refusal(source, build_file_change(ChangeKind.PUT, path, **values)) is code
    assert place.wire.requests == []
    assert place.body(path) is None


async def test_nothing_is_written_where_the_settings_do_not_say_so(place: StoreUnderTest, path: str) -> None:
    async with place.opened() as source, place.opened(writable=False) as closed:
        place.wire.requests.clear()

        assert await get_refusal(closed, build_file_change(ChangeKind.PUT, path)) is ErrorCode.CANNOT_ANSWER
        assert (
            await get_refusal(source, build_file_change(ChangeKind.PUT, "elsewhere/a.txt")) is ErrorCode.BAD_USER_INPUT
        )
        assert await get_refusal(source, build_file_change(ChangeKind.PUT, "in")) is ErrorCode.BAD_USER_INPUT
        assert place.wire.requests == []
        other = RowChange(id="a", collection="text", kind=ChangeKind.PUT, key={"path": path}, values={"text": ""})
        assert await get_refusal(source, other) is ErrorCode.CANNOT_ANSWER
        two = [build_file_change(ChangeKind.PUT, path), build_file_change(ChangeKind.PUT, path)]
        with pytest.raises(ChangeRejected):
            await source.apply(two)


async def test_a_prefix_that_is_no_folder_is_refused_at_the_start(place: StoreUnderTest) -> None:
    with pytest.raises(ValueError, match="writable_below"):
        async with place.opened(writable_below=("in",)):
            pass
