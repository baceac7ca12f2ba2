"""Read the files of a folder as rows; no request lists or reads anything outside of it."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from onedoor.connectors.files import folder
from onedoor.connectors.files.folder import FolderConnector, FolderOptions, connect
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import Row
from onedoor.spi.scan import KeyFilter, ScanRequest

PATTERN = "customers/{customer_id:int}/{folder}/{name}"
FILES = (
    "customers/1/notes/a.txt",
    "customers/1/orders/é +%.jsonl",
    "customers/11/notes/b.csv",
    "customers/1",
    "readme",
)
LISTED_FILES = tuple(file for file in FILES if file != "customers/1")
"""A folder and a file cannot have one name."""
MODIFIED = datetime(2026, 10, 31, 8, 30, tzinfo=UTC)
COLUMNS = {
    "customer_id": ColumnType.INTEGER,
    "folder": ColumnType.TEXT,
    "id": ColumnType.TEXT,
    "path": ColumnType.TEXT,
    "name": ColumnType.TEXT,
    "size": ColumnType.INTEGER,
    "content_type": ColumnType.TEXT,
    "modified": ColumnType.TIME,
    "version": ColumnType.TEXT,
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with files, and beside it what must not be reached: by a link, to a file or a folder, or by a path."""
    root, outside = tmp_path / "shared", tmp_path / "outside"
    for path in (*(root / item for item in LISTED_FILES), outside / "secret.txt"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"0123456789")
        os.utime(path, (MODIFIED.timestamp(), MODIFIED.timestamp()))
    (root / "link.txt").symlink_to(outside / "secret.txt")
    (root / "linked").symlink_to(outside, target_is_directory=True)
    (root / "inner.txt").symlink_to(root / "readme")
    os.mkfifo(root / "pipe")
    os.close(os.open(os.fsencode(root) + b"/\xff.txt", os.O_CREAT | os.O_WRONLY))
    return root


@pytest.fixture
async def source(root: Path) -> AsyncIterator[FolderConnector]:
    opened = await connect(FolderOptions(path=root, pattern=PATTERN))
    yield opened
    await opened.close()


async def scan_rows(source: FolderConnector, *columns: str, keys: KeyFilter | None = None) -> list[Row]:
    ask = ScanRequest(collection="files", columns=columns, keys=keys)
    return [row async for batch in source.scan(ask) for row in batch]


async def test_only_keys_are_pushed_down(source: FolderConnector) -> None:
    assert source.capabilities("files") == Capabilities(
        columns={name: Column(type=kind) for name, kind in COLUMNS.items()},
        max_keys=50,
        key_columns=frozenset({("id",), ("customer_id",), ("customer_id", "folder")}),
    )


async def test_a_file_is_a_row(source: FolderConnector) -> None:
    (row,) = await scan_rows(source, *COLUMNS, keys=KeyFilter(("id",), ((FILES[0],),)))
    assert row[:-1] == (1, "notes", FILES[0], FILES[0], "a.txt", 10, "text/plain", MODIFIED)


async def test_every_file_is_listed_and_no_link_pipe_or_name_that_is_no_text(source: FolderConnector) -> None:
    assert sorted(await scan_rows(source, "id")) == sorted((item,) for item in LISTED_FILES)


@pytest.mark.parametrize(
    ("columns", "values", "expected"),
    [
        pytest.param(("customer_id",), [(1,)], LISTED_FILES[:2], id="1 is not 11"),
        pytest.param(("customer_id",), [(1,), (11,), (12,)], LISTED_FILES[:3], id="several keys, one of nobody"),
        pytest.param(("customer_id", "folder"), [(1, "orders")], LISTED_FILES[1:2], id="two leading columns"),
        pytest.param(
            ("customer_id", "folder"), [(1, ""), (1, ".."), (1, "a/b"), (1, "a\0")], (), id="no folder's name"
        ),
        pytest.param(
            ("id",), [(LISTED_FILES[0],), ("readme",), ("customers",)], (LISTED_FILES[0], "readme"), id="whole paths"
        ),
    ],
)
async def test_keys_give_their_files_alone(
    source: FolderConnector, columns: tuple[str, ...], values: list[Row], expected: tuple[str, ...]
) -> None:
    assert sorted(await scan_rows(source, "id", keys=KeyFilter(columns, tuple(values)))) == sorted(
        (item,) for item in expected
    )


IDS_OF_NO_FILE = [
    "", ".", "..", "/", "/etc/passwd", "../outside/secret.txt", "customers/../readme", "customers//1", "readme/",
    "./readme", "link.txt", "linked/secret.txt", "linked", "inner.txt", "pipe", "customers", "nobody", "a\0b",
    "\udcff.txt", "n" * 300, "/".join(["a"] * 40),
]  # fmt: skip


@pytest.mark.parametrize("id", IDS_OF_NO_FILE)
async def test_an_id_that_is_no_file_has_no_stat_no_row_and_no_content(source: FolderConnector, id: str) -> None:
    assert await source.stat(id) is None
    assert await scan_rows(source, "id", keys=KeyFilter(("id",), ((id,),))) == []
    with pytest.raises(ConnectorError, match="the folder has no such file"):
        await source.read_range(id, 0, 10)


async def test_a_folder_swapped_for_a_link_leads_nowhere(source: FolderConnector, root: Path) -> None:
    assert await source.stat("customers/1/notes/a.txt") is not None
    (root / "customers" / "1" / "notes").rename(root / "moved")
    (root / "customers" / "1" / "notes").symlink_to(root.parent / "outside", target_is_directory=True)
    (root.parent / "outside" / "a.txt").write_text("secret")
    assert await source.stat("customers/1/notes/a.txt") is None
    assert all("outside" not in path for (path,) in await scan_rows(source, "id"))
    assert ("customers/1/notes/a.txt",) not in await scan_rows(source, "id")


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [(0, 4, b"0123"), (4, 3, b"456"), (8, 10, b"89"), (10, 5, b""), (99, 5, b""), (0, 0, b"")],
)
async def test_a_range_reads_no_other_bytes(source: FolderConnector, start: int, length: int, expected: bytes) -> None:
    assert await source.read_range("readme", start, length) == expected


async def test_a_stat_equals_the_row(source: FolderConnector) -> None:
    names = ("id", "name", "size", "content_type", "modified", "version")
    (row,) = await scan_rows(source, *names, keys=KeyFilter(("id",), ((FILES[2],),)))
    stat = await source.stat(FILES[2])
    assert stat is not None
    assert tuple(getattr(stat, name) for name in names) == row


async def test_a_version_changes_with_the_content(source: FolderConnector, root: Path) -> None:
    before = await source.stat("readme")
    (root / "readme").write_text("abc")
    after = await source.stat("readme")
    assert before is not None
    assert after is not None
    assert before.version != after.version


async def test_a_file_has_no_download_url(source: FolderConnector) -> None:
    assert await source.create_download_url("readme", 60) is None


async def test_folders_nested_too_deeply_are_refused_rather_than_cut_short(source: FolderConnector, root: Path) -> None:
    (root / "/".join(["deep"] * (folder.MAX_DEPTH + 1))).mkdir(parents=True)
    with pytest.raises(ConnectorError, match="deeper in one another") as caught:
        await scan_rows(source, "id")
    assert caught.value.code is ErrorCode.LIMIT_EXCEEDED


async def test_a_folder_that_is_gone_fails_and_says_no_path(source: FolderConnector, root: Path) -> None:
    os.rename(root, root.parent / "elsewhere")
    for call in (source.ping(), scan_rows(source, "id"), source.stat("readme")):
        with pytest.raises(ConnectorError) as caught:
            await call
        assert caught.value.reason == "the folder could not be read"


async def test_a_path_that_is_no_folder_is_refused_at_connect(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`path` is no folder"):
        await connect(FolderOptions(path=tmp_path / "nobody", pattern=PATTERN))
