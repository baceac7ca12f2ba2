"""Remove what a writer that died left behind, and write with a signature alone."""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from azure.storage.fileshare import ShareSasPermissions, generate_share_sas

from demo.servers.azure.app import BLOB_ACCOUNT, FILES_ACCOUNT
from onedoor.connectors.files import folder as files_folder
from onedoor.errors import ErrorCode
from onedoor.spi.connector import ChangeKind, ChangeRejected, RowChange, UploadRequest
from tests.connectors.writing import stores
from tests.connectors.writing.stores import StoreUnderTest
from tests.servers.azure import BLOB_KEY, FILES_KEY

pytestmark = pytest.mark.asyncio(loop_scope="module")
BODY = b"as it was"


@pytest.fixture(scope="module", params=["azure_files"])
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
    return f"in/{uuid4().hex}.txt"


async def test_the_lease_of_a_writer_who_died_is_given_up_when_its_change_is_settled(
    place: StoreUnderTest, source: Any, path: str
) -> None:
    place.put(path, BODY)
    dead = RowChange(id="died", collection="files", kind=ChangeKind.PUT, key={"path": path}, values={"text": "a"})
    change = source.parse_change(dead)
    state = await source.file_writer.read_state(path)
    held = source.file_writer.hold_lease(change, state)
    await held.__aenter__()  # and is never left
    other = replace(dead, id="other")
    with pytest.raises(ChangeRejected) as unmade:
        await source.apply([other])

    assert unmade.value.code is ErrorCode.VERSION_CONFLICT
    assert await source.find_change(dead) is None
    await source.apply([other])
    assert place.body(path) == b"a"


async def test_a_file_that_was_never_whole_is_deleted_from_a_share(
    place: StoreUnderTest, source: Any, path: str
) -> None:
    dead = RowChange(id="died", collection="files", kind=ChangeKind.CREATE, key={"path": path}, values={"text": "a"})
    part = await source.file_writer.write_temporary(source.parse_change(dead), None)

    assert place.body(part) == b"a"
    assert await source.find_change(dead) is None
    assert place.body(part) is None


async def test_a_file_that_was_never_whole_is_deleted_from_a_folder(tmp_path: Path) -> None:
    async with stores.build_opener(files_folder.KIND, {"path": tmp_path})() as source:
        dead = RowChange(
            id="died", collection="files", kind=ChangeKind.CREATE, key={"path": "in/a.txt"}, values={"text": "a"}
        )
        change = source.parse_change(dead)
        with files_folder.open_parent_folder(tmp_path, change.id, create=True) as folder:
            files_folder.write_temporary_file(tmp_path, folder, change, "0")

        assert len(list((tmp_path / "in").iterdir())) == 1
        assert await source.find_change(dead) is None
        assert list((tmp_path / "in").iterdir()) == []


@pytest.mark.parametrize("place", ["azure_files", "azure_blob", "azurite"], indirect=True)
async def test_a_signature_of_what_files_are_kept_in_is_enough_to_write(place: StoreUnderTest, path: str) -> None:
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 600))
    if place.name == "azure_files":
        may = ShareSasPermissions(read=True, create=True, write=True, delete=True, list=True)
        token = generate_share_sas(FILES_ACCOUNT, "written", FILES_KEY, may, ends)
    else:
        may = ContainerSasPermissions(read=True, add=True, create=True, write=True, delete=True, list=True)
        token = generate_container_sas(BLOB_ACCOUNT, "written", BLOB_KEY, permission=may, expiry=ends)
    async with place.opened(sas_token=token) as source:
        put = RowChange(id="1", collection="files", kind=ChangeKind.CREATE, key={"path": path}, values={"text": "a"})
        again = RowChange(id="2", collection="files", kind=ChangeKind.PUT, key={"path": path}, values={"text": "b"})
        copy = replace(put, id="3", key={"path": f"{path}.copy"}, values={"copy_of": path})
        for item in (put, again, copy):
            await source.apply([item])
        assert (place.body(path), place.body(f"{path}.copy")) == (b"b", b"b")

        await source.apply([RowChange(id="4", collection="files", kind=ChangeKind.DELETE, key={"path": path})])
        assert place.body(path) is None
        upload = UploadRequest(
            change_id="5", collection="files", key={"path": path}, size=1, content_type="text/plain", valid_seconds=60
        )  # fmt: skip
        with pytest.raises(ChangeRejected, match="access_key"):
            await source.upload_address(upload)
