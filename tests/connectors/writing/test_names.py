"""Refuse names that no file may have, in every store and before any call."""

import unicodedata
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from onedoor.connectors.files import folder
from onedoor.connectors.files.paths import explain_invalid_path
from onedoor.errors import ErrorCode
from onedoor.spi.connector import ChangeKind, ChangeRejected, RowChange, UploadRequest
from tests.connectors.writing import stores
from tests.connectors.writing.stores import StoreUnderTest

BELOW = "in/"
STEPS = (
    "..", ".", "../a", "a/..", "a/../b", "a/../../b", "./a", "a/./b", "/a", "//a", "a//b", "a/", "a//", "/", "",
    "../../etc/passwd", "/etc/passwd", "a/.../b", "..a", ".a", "a/.git/config", ".ssh/authorized_keys", ".bashrc",
    ".htaccess", ".onedoor-0.part", "a/.onedoor-0.part", "~/a", "~root/a", "a/~b", "~", " a", "a ", "a /b", "a/ b",
    "a.", "a./b", "a. ", "a/b..", " ", "a/ ", ". a", "a/ /b",
)  # fmt: skip
ENCODED = (
    "%2e%2e/a", "%2E%2E/a", ".%2e/a", "%2e./a", "a%2fb", "a%2Fb", "%2f", "a%5cb", "a%5Cb", "a%00b", "%00",
    "%252e%252e/a", "a%252fb", "%c0%ae%c0%ae/a", "a%0d%0ab", "a%20b", "%e2%80%ae", "a%3fb", "a%23b", "%7e/a", "%25",
)  # fmt: skip
SIGNS = (
    "..\\a", "a\\..\\b", "\\a", "a\\b", "\\\\host\\share", "C:\\a", "C:a", "a:b", "a::$DATA", "a:stream", "a|b", "a<b",
    "a>b", 'a"b', "a?b", "a*b", "*", "?", "a?versionId=1", "a?acl", "file:a", "s3://b/c", "https://x/y", "a|sh",
)  # fmt: skip
DEVICES = (
    "CON", "con", "Con.txt", "PRN", "prn.csv", "AUX", "aux.tar.gz", "NUL", "nul", "NUL.txt", "COM1", "com9.log", "LPT1",
    "lpt9", "COM¹", "LPT³.txt", "a/CON", "a/nul.txt/b", "CONIN$", "conout$",
)  # fmt: skip
CONTROLS = tuple(f"a{chr(code)}b" for code in (*range(0x20), 0x7F, 0x80, 0x85, 0x9F))
UNSEEN = tuple(
    f"a{item}b"
    for item in (
        "\u00a0", "\u00ad", "\u1680", "\u180e", "\u2000", "\u2003", "\u2009", "\u200a", "\u200b", "\u200c", "\u200d",
        "\u200e", "\u200f", "\u2028", "\u2029", "\u202a", "\u202b", "\u202d", "\u202e", "\u202f", "\u205f", "\u2060",
        "\u2066", "\u2067", "\u2069", "\u206f", "\u3000", "\ufeff", "\ufff9", "\ufffe", "\uffff", "\ue000", "\ud800",
        "\udfff", "\U000e0001", "\U000f0000", "\U0010ffff", "\u0378",
    )
)  # fmt: skip
ALIKE = (
    "\uff0e\uff0e/a", "a\uff0fb", "a\uff3cb", "\u2024\u2024/a", "\u2025/a", "\u2026/a", "a\u2100b", "a\u2101b",
    "a\u2105b", "a\u33c2b", "a\ufe52b", "a\uff05b", "a\u2488b", "a\ufe6ab", "a\ufe68b", "a\u2106b",
)  # fmt: skip
FORMS = tuple(unicodedata.normalize("NFD", item) for item in ("é", "Å", "ñandú", "한글", "ö/a")) + ("\u212b", "\u2126")
LONG = ("a" * 256, "é" * 128, "/".join("a" * 33), "/".join(["a" * 250] * 5), "a/" + "b" * 256 + "/c", "a" * 5000)
NAMES = (*STEPS, *ENCODED, *SIGNS, *DEVICES, *CONTROLS, *UNSEEN, *ALIKE, *FORMS, *LONG)
STORES = ("s3", "azure_blob", "azure_files", "folder", "drive")


@pytest.fixture(scope="module", params=STORES)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreUnderTest]:
    with stores.open_store(request, tmp_path_factory) as store:
        yield store


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def source(place: StoreUnderTest) -> AsyncIterator[Any]:
    """One connector for all cases of a store that need no other."""
    async with place.opened() as opened:
        yield opened


def test_they_are_two_hundred() -> None:
    assert len(set(NAMES)) >= 200


async def test_every_store_refuses_every_one_of_them_before_a_call(place: StoreUnderTest) -> None:
    """As a file's path, as what is deleted, as what is copied, and as what is uploaded."""
    async with place.opened(writable_below=()) as source:
        place.wire.requests.clear()
        for name in NAMES:
            answers = [await answer(source.apply([wish])) for wish in wishes(name)]
            address = await answer(source.upload_address(upload(name)))

            assert [(name, code, reason[:1]) for code, reason in answers] == [(name, ErrorCode.BAD_USER_INPUT, "`")] * 4
            assert address == answers[0] or place.name == "folder"
        assert place.wire.requests == []


async def answer(call: Awaitable[object]) -> tuple[ErrorCode | None, str]:
    try:
        await call
    except ChangeRejected as unmade:
        return unmade.code, unmade.reason
    return None, "it was done"


def wishes(name: str) -> Iterator[RowChange]:
    for verb in (ChangeKind.CREATE, ChangeKind.PUT):
        yield RowChange(id="a", collection="files", kind=verb, key={"path": name}, values={"text": "a"})
    yield RowChange(id="a", collection="files", kind=ChangeKind.DELETE, key={"path": name})
    yield RowChange(id="a", collection="files", kind=ChangeKind.PUT, key={"path": "in/a.txt"}, values={"copy_of": name})


def upload(name: str) -> UploadRequest:
    return UploadRequest(
        change_id="a", collection="files", key={"path": name}, size=1, content_type="text/plain", valid_seconds=60
    )


@pytest.mark.parametrize(
    "name",
    ["in/a.txt", "in/é.txt", "in/a b (1).pdf", "in/100%.txt", "in/a.b.c", "in/日本語.csv", "in/a'b;c&d=e+f#g.txt",
     "in/CONTRACT.txt", "in/-a", "in/ß.txt", "in/a,b@c$d!.txt", "in/😀.png", "in/" + "a" * 255],
)  # fmt: skip
@pytest.mark.asyncio(loop_scope="module")
async def test_a_usual_name_is_taken_and_means_itself(place: StoreUnderTest, source: Any, name: str) -> None:
    if place.name == "drive" and len(name) > 200:
        name = name[:150]
    change = RowChange(
        id=uuid4().hex, collection="files", kind=ChangeKind.PUT, key={"path": name}, values={"text": "a"}
    )
    (came,) = await source.apply([change])

    assert came.after is not None
    assert (came.after["path"], place.body(name)) == (name, b"a")


def test_each_refusal_says_what_is_wrong() -> None:
    assert {name: explain_invalid_path(name) for name in ("a//b", "a/../b", "a\\b", "a%2eb", "nul.txt", "e\u0301")} == {
        "a//b": "`path` must not begin or end with `/`, or hold two in a row",
        "a/../b": "`path` must not have a part that begins with `.`",
        "a\\b": '`path` must not hold any of `"`, `<`, `>`, `|`, `?`, `*`, `:` and `\\`',
        "a%2eb": "`path` must not be percent-encoded",
        "nul.txt": "`path` must not have a part that is the name of a device",
        "e\u0301": "`path` must be in Unicode's normal form C",
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with links that lead out of it, and what they lead to."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for item in (root / "in" / "inner", outside):
        item.mkdir(parents=True)
    (outside / "secret.txt").write_bytes(b"secret")
    (root / "in" / "linked").symlink_to(outside, target_is_directory=True)
    (root / "in" / "link.txt").symlink_to(outside / "secret.txt")
    (root / "in" / "dangling.txt").symlink_to(outside / "new.txt")
    return root


@pytest.mark.parametrize("verb", list(ChangeKind)[:1] + list(ChangeKind)[2:])
@pytest.mark.parametrize("path", ["in/linked/new.txt", "in/linked/secret.txt", "in/link.txt", "in/dangling.txt",
                                  "in/inner", "in/link.txt/a"])  # fmt: skip
async def test_in_a_folder_no_link_is_followed_and_no_folder_is_taken_for_a_file(
    root: Path, path: str, verb: ChangeKind
) -> None:
    values = {} if verb is ChangeKind.DELETE else {"text": "a"}
    async with stores.build_opener(folder.KIND, {"path": root})() as source:
        with pytest.raises(ChangeRejected):
            await source.apply([RowChange(id="a", collection="files", kind=verb, key={"path": path}, values=values)])
        copy = RowChange(
            id="b", collection="files", kind=ChangeKind.PUT, key={"path": "in/b.txt"}, values={"copy_of": path}
        )
        with pytest.raises(ChangeRejected):
            await source.apply([copy])

    outside = root.parent / "outside"
    assert {item.name: item.read_bytes() for item in outside.iterdir()} == {"secret.txt": b"secret"}
    assert sorted(item.name for item in (root / "in").iterdir()) == ["dangling.txt", "inner", "link.txt", "linked"]
