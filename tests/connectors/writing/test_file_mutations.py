"""Put, copy, delete and upload files through Onedoor in every store, over HTTP as clients do."""

import asyncio
import json
import logging
import subprocess
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest

from demo.run import SECRETS
from demo.servers.run import Running, servers
from tests import acme
from tests.docs.pages import ROOT, blocks
from tests.e2e.clients.conftest import NODE, SECONDS
from tests.runtime.failures.conftest import Ask, Door, asking, standing

TEXT = "sku,pieces\nA-1,12\né,3\n"
HELD = TEXT.encode()
CHANGE = "id state verb versionBefore versionAfter row after { path size contentType }"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """A store as clients know it, and a folder in it that is there."""

    store: str
    type: str
    folder: str = "customers/3/letters"

    @property
    def field(self) -> str:
        return f"{self.type[0].lower()}{self.type[1:]}"

    def path(self) -> str:
        return f"{self.folder}/é {uuid4().hex}.csv"


SHELVES = (
    Shelf(store="S3", type="S3File"),
    Shelf(store="FOLDER", type="FolderFile"),
    Shelf(store="AZURE_FILES", type="AzureFile"),
    Shelf(store="AZURE_BLOB", type="BlobFile"),
    Shelf(store="DRIVE", type="DriveFile", folder=""),
)
WITH_ADDRESSES = tuple(shelve for shelve in SHELVES if shelve.store != "FOLDER")


@pytest.fixture(scope="module")
def written_to() -> Iterator[Running]:
    """Servers of our own: others count what is there."""
    with servers(scale=acme.SCALE, environment=SECRETS) as made:
        yield made


@pytest.fixture(scope="module")
def door(written_to: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with standing(written_to, tmp_path_factory.mktemp("house")) as made:
        yield made


@pytest.fixture
async def ask(door: Door) -> AsyncIterator[Ask]:
    async with asking(door) as asked:
        yield asked


@pytest.fixture(params=SHELVES, ids=lambda each: each.store)
async def shelf(request: pytest.FixtureRequest, ask: Ask) -> Shelf:
    return await found(request.param, ask)


@pytest.fixture(params=WITH_ADDRESSES, ids=lambda each: each.store)
async def giving(request: pytest.FixtureRequest, ask: Ask) -> Shelf:
    return await found(request.param, ask)


async def found(shelf: Shelf, ask: Ask) -> Shelf:
    """Drive makes no folders on the way, so one of a customer's."""
    if shelf.folder:
        return shelf
    told = await ask('{ driveFolders(where: {name: {eq: "Contracts"}}, first: 1) { nodes { path } } }', "finance")
    return Shelf(store=shelf.store, type=shelf.type, folder=told.data["driveFolders"]["nodes"][0]["path"])


async def changed(ask: Ask, field: str, group: str = "finance", **given: Any) -> Any:
    """What a mutation that is made says."""
    told = await ask(mutation(field, given), group)
    assert told.errors == []
    return told.data[field]


async def refused(ask: Ask, field: str, group: str = "finance", **given: Any) -> str:
    told = await ask(mutation(field, given), group)
    assert (told.data or {}).get(field) is None
    return str(told.errors[0]["extensions"]["code"])


def mutation(field: str, given: Mapping[str, Any], asked: str = CHANGE) -> str:
    return f"mutation {{ {field}(input: {written(given)}) {{ {asked} }} }}"


def written(given: Mapping[str, Any]) -> str:
    """As a literal; a store is an enum's value."""
    told = (f"{name}: {each if name == 'store' else json.dumps(each)}" for name, each in given.items())
    return f"{{{', '.join(told)}}}"


async def one(ask: Ask, shelf: Shelf, id: str, asked: str = "path text") -> Any:
    told = await ask(f"{{ file(id: {json.dumps(id)}) {{ ... on {shelf.type} {{ {asked} }} }} }}", "finance")
    assert told.errors == []
    return told.data["file"]


async def standing_at(ask: Ask, path: str) -> list[Any]:
    """What the list of all files has at a path."""
    told = await ask(
        f"{{ files(where: {{path: {{eq: {json.dumps(path)}}}}}) {{ nodes {{ store text }} }} }}", "finance"
    )
    assert told.errors == []
    found: list[Any] = told.data["files"]["nodes"]
    return found


async def put(ask: Ask, shelf: Shelf, path: str, **more: Any) -> Any:
    return await changed(ask, f"put{shelf.type}", path=path, **({"text": TEXT} | more))


async def test_a_file_that_is_put_is_there_for_every_question(ask: Ask, shelf: Shelf) -> None:
    path = shelf.path()
    made = await put(ask, shelf, path)

    after = {"path": path, "size": str(len(HELD)), "contentType": "text/csv"}
    assert (made["state"], made["verb"], made["versionBefore"], made["after"]) == ("DONE", "PUT", None, after)
    assert await standing_at(ask, path) == [{"store": shelf.store, "text": TEXT}]
    stands = await one(ask, shelf, made["row"], "version rows customer { id }")
    assert stands["version"] == made["versionAfter"]
    assert stands["rows"] == [{"sku": "A-1", "pieces": "12"}, {"sku": "é", "pieces": "3"}]
    assert stands["customer"] is not None


async def test_its_history_tells_every_change_of_it(ask: Ask, shelf: Shelf) -> None:
    path = shelf.path()
    first = await put(ask, shelf, path, reason="as agreed")
    second = await put(ask, shelf, path, text="another")

    asked = "history(orderBy: [{at: ASC}]) { nodes { id reason before { size } after { size } } }"
    told = await one(ask, shelf, first["row"], asked)
    assert first["versionAfter"] == second["versionBefore"] != second["versionAfter"]
    assert told["history"]["nodes"] == [
        {"id": first["id"], "reason": "as agreed", "before": None, "after": {"size": "23"}},
        {"id": second["id"], "reason": None, "before": {"size": "23"}, "after": {"size": "7"}},
    ]  # fmt: skip


async def test_content_is_text_or_base64_and_one_of_them(ask: Ask, shelf: Shelf) -> None:
    path, field = shelf.path(), f"put{shelf.type}"
    made = await changed(ask, field, path=path, base64=b64encode(HELD).decode())
    assert (await one(ask, shelf, made["row"]))["text"] == TEXT

    emptied = await changed(ask, field, path=path, text="")
    assert emptied["after"]["size"] == "0"
    for wrong in ({}, {"text": "a", "base64": "YQ=="}, {"base64": "not base64"}, {"text": "a", "contentType": "A B"}):
        assert await refused(ask, field, path=path, **wrong) == "BAD_USER_INPUT"


async def test_at_another_version_it_stays_as_it_is(ask: Ask, shelf: Shelf) -> None:
    path = shelf.path()
    first = await put(ask, shelf, path)
    await put(ask, shelf, path, text="another", ifVersion=first["versionAfter"])

    old = first["versionAfter"]
    assert await refused(ask, f"put{shelf.type}", path=path, text="late", ifVersion=old) == "VERSION_CONFLICT"
    assert await refused(ask, f"delete{shelf.type}", id=first["row"], ifVersion=old) == "VERSION_CONFLICT"
    assert (await one(ask, shelf, first["row"]))["text"] == "another"


async def test_what_is_only_tried_leaves_nothing(ask: Ask, shelf: Shelf) -> None:
    path = shelf.path()
    tried = await put(ask, shelf, path, dryRun=True)
    assert (tried["state"], tried["after"]["size"], await standing_at(ask, path)) == ("TRIED", "23", [])

    made = await put(ask, shelf, path)
    assert (await changed(ask, f"delete{shelf.type}", id=made["row"], dryRun=True))["state"] == "TRIED"
    assert len(await standing_at(ask, path)) == 1
    kept = await one(ask, shelf, made["row"], "history { nodes { id } }")
    assert [item["id"] for item in kept["history"]["nodes"]] == [made["id"]]


async def test_what_is_deleted_is_no_more_but_in_history(ask: Ask, shelf: Shelf) -> None:
    path = shelf.path()
    made = await put(ask, shelf, path)
    gone = await changed(ask, f"delete{shelf.type}", id=made["row"])

    assert (gone["verb"], gone["row"], gone["after"]) == ("DELETE", made["row"], None)
    assert (await one(ask, shelf, made["row"]), await standing_at(ask, path)) == (None, [])
    assert await refused(ask, f"delete{shelf.type}", id=made["row"]) == "NOT_FOUND"
    told = await ask(f'{{ {shelf.field}Change(id: "{gone["id"]}") {{ before {{ path }} }} }}', "finance")
    assert told.data == {f"{shelf.field}Change": {"before": {"path": path}}}


async def test_a_copy_holds_what_its_origin_holds(ask: Ask, shelf: Shelf) -> None:
    made, path = await put(ask, shelf, shelf.path()), shelf.path()
    copy = await changed(ask, f"copy{shelf.type}", copyOf=made["row"], path=path)

    assert (copy["verb"], copy["after"]["path"]) == ("CREATE", path)
    assert (await one(ask, shelf, copy["row"]))["text"] == TEXT
    field = f"copy{shelf.type}"
    assert await refused(ask, field, copyOf=made["row"], path=path) == "ALREADY_EXISTS"
    assert await refused(ask, field, copyOf=f"{shelf.store}:nothing.csv", path=shelf.path()) == "NOT_FOUND"


async def test_no_id_of_another_store_is_taken(ask: Ask, shelf: Shelf) -> None:
    for id in ("ELSEWHERE:customers%2F3%2Fa", "customers/3/a", f"{shelf.store}:a:b", ""):
        assert await refused(ask, f"copy{shelf.type}", copyOf=id, path=shelf.path()) == "NOT_FOUND"
        assert await refused(ask, f"delete{shelf.type}", id=id) == "NOT_FOUND"


async def test_drive_takes_the_id_of_what_is_there(ask: Ask) -> None:
    shelf = await found(SHELVES[-1], ask)
    made = await put(ask, shelf, shelf.path())
    again = await changed(ask, "putDriveFile", id=made["row"], text="by its id")

    assert (again["row"], (await one(ask, shelf, made["row"]))["text"]) == (made["row"], "by its id")
    assert await refused(ask, "putDriveFile", text="neither") == "BAD_USER_INPUT"
    assert await refused(ask, "putDriveFile", text="both", id=made["row"], path=shelf.path()) == "BAD_USER_INPUT"


async def test_the_same_key_makes_it_once(ask: Ask, shelf: Shelf) -> None:
    path, key = shelf.path(), uuid4().hex
    first = await put(ask, shelf, path, idempotencyKey=key)
    await put(ask, shelf, path, text="meanwhile")

    assert await put(ask, shelf, path, idempotencyKey=key) == first
    assert (await one(ask, shelf, first["row"]))["text"] == "meanwhile"
    reused = await refused(ask, f"put{shelf.type}", path=path, text="else", idempotencyKey=key)
    assert reused == "IDEMPOTENCY_KEY_REUSED"


async def test_who_may_not_is_told_so_and_nothing_is_asked(ask: Ask, door: Door, shelf: Shelf) -> None:
    made = await put(ask, shelf, path := shelf.path())
    source = shelf.store.lower()
    before = door.calls(source)

    for group, field, given in (
        ("marketing", f"put{shelf.type}", {"path": path, "text": "by marketing"}),
        ("sales", f"put{shelf.type}", {"path": path, "text": "by sales"}),
        ("sales", f"copy{shelf.type}", {"copyOf": made["row"], "path": shelf.path()}),
        ("support", f"delete{shelf.type}", {"id": made["row"]}),
        ("marketing", "fileUpload", {"store": shelf.store, "path": shelf.path(), "size": 1}),
        ("sales", "fileUpload", {"store": shelf.store, "path": shelf.path(), "size": 1}),
    ):
        told = await ask(mutation(field, given, "id"), group)
        codes = {error["extensions"]["code"] for error in told.errors}
        assert (codes, (told.data or {}).get(field)) == ({"FORBIDDEN"}, None)
    assert door.calls(source) == before
    assert (await one(ask, shelf, made["row"]))["text"] == TEXT


async def test_nothing_of_a_file_is_in_the_journal(ask: Ask, door: Door, shelf: Shelf) -> None:
    word = uuid4().hex
    await put(ask, shelf, shelf.path().replace(".csv", f"{word}.csv"), text=f"secret {word}", reason=word)
    assert word.encode() not in journal(door)


def journal(door: Door) -> bytes:
    return b"".join(path.read_bytes() for path in sorted((door.folder / "records").rglob("*")) if path.is_file())


STEPS = "id path store fileId expiresAt bounded steps"


async def upload(ask: Ask, shelf: Shelf, path: str, **more: Any) -> Any:
    given = {"store": shelf.store, "path": path, "size": len(HELD), **more}
    told = await ask(mutation("fileUpload", given, STEPS), "support")
    assert told.errors == []
    return told.data["fileUpload"]


async def no_upload(ask: Ask, shelf: Shelf, path: str, **more: Any) -> str:
    given = {"store": shelf.store, "path": path, "size": len(HELD), **more}
    told = await ask(mutation("fileUpload", given, STEPS), "support")
    assert told.data == {"fileUpload": None}
    return str(told.errors[0]["extensions"]["code"])


def sent(step: Mapping[str, Any], body: bytes = HELD) -> int:
    """As anybody would who knows HTTP and nothing else."""
    data = body[step["first"] :][: step["length"]]
    headers = {"content-type": "application/octet-stream", **step["headers"]}
    try:
        with urlopen(Request(step["url"], data=data, headers=headers, method=step["method"])) as answer:
            status: int = answer.status
            return status
    except HTTPError as error:
        with error:
            return error.code


async def test_a_file_is_uploaded_by_plain_http(ask: Ask, giving: Shelf) -> None:
    given = await upload(ask, giving, path := giving.path())
    assert await standing_at(ask, path) == []

    assert {sent(item) for item in given["steps"]} <= {200, 201}
    assert await standing_at(ask, path) == [{"store": giving.store, "text": TEXT}]
    assert (given["path"], given["store"]) == (path, giving.store)
    if given["fileId"] is not None:
        assert (await one(ask, giving, given["fileId"]))["text"] == TEXT
    assert (given["fileId"] is None) == (giving.store == "DRIVE")


async def test_an_address_ends_within_five_minutes(ask: Ask, giving: Shelf) -> None:
    for minutes, most in ((1, 60), (5, 300), (None, 300)):
        given = await upload(ask, giving, giving.path(), **({} if minutes is None else {"minutes": minutes}))
        left = (datetime.fromisoformat(given["expiresAt"]) - datetime.now(UTC)).total_seconds()
        assert most - 30 < left <= most
    assert {await no_upload(ask, giving, giving.path(), minutes=item) for item in (0, 6, -1)} == {"LIMIT_EXCEEDED"}


async def test_an_address_takes_that_one_file(ask: Ask, giving: Shelf) -> None:
    """Drive's names no file: it is one session."""
    given = await upload(ask, giving, path := giving.path())
    word = path.rpartition(" ")[2].removesuffix(".csv")
    other = uuid4().hex
    moved = [{**item, "url": item["url"].replace(word, other)} for item in given["steps"]]

    if giving.store != "DRIVE":
        assert moved != given["steps"]
        assert {sent(item) for item in moved} == {403}
    assert (moved == given["steps"]) == (giving.store == "DRIVE")
    assert await standing_at(ask, path.replace(word, other)) == []


async def test_an_address_takes_no_others_place(ask: Ask, giving: Shelf) -> None:
    made = await put(ask, giving, path := giving.path())
    assert await no_upload(ask, giving, path) == "ALREADY_EXISTS"

    given = await upload(ask, giving, path, replace=True, contentType="text/plain")
    new = HELD.replace(b"A-1", b"B-2")
    assert {sent(item, new) for item in given["steps"]} <= {200, 201}
    assert (await one(ask, giving, made["row"]))["text"] == new.decode()


async def test_an_address_is_given_for_what_may_be_written_alone(ask: Ask, giving: Shelf) -> None:
    assert await no_upload(ask, giving, f"{giving.folder}/../other.csv") == "BAD_USER_INPUT"
    assert await no_upload(ask, giving, giving.path(), size=2**30 + 1) == "LIMIT_EXCEEDED"
    assert await no_upload(ask, giving, giving.path(), size=-1) == "LIMIT_EXCEEDED"


async def test_a_folder_has_no_address(ask: Ask) -> None:
    assert await no_upload(ask, SHELVES[1], SHELVES[1].path()) == "CANNOT_ANSWER"


async def test_an_address_is_kept_nowhere(
    ask: Ask, door: Door, giving: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        given = await upload(ask, giving, giving.path())
    again = await upload(ask, giving, giving.path())

    secrets = [signed(item["url"]) for item in (*given["steps"], *again["steps"])]
    held = journal(door) + b"".join(path.read_bytes() for path in door.folder.glob("state.sqlite*"))
    assert all(secrets)
    assert not any(word.encode() in held or word in caplog.text for secret in secrets for word in secret)
    assert given["steps"] != again["steps"]


async def test_a_client_in_javascript_uploads_as_the_page_says(
    ask: Ask, door: Door, giving: Shelf, tmp_path: Path
) -> None:
    (block,) = (item for item in blocks(ROOT / "docs/changes.md", "js") if item.words == ("upload.mjs",))
    (tmp_path / "upload.mjs").write_text(block.text, encoding="utf-8")
    path, body = giving.path(), "é,1\n" * 900_000
    given = [f"http://127.0.0.1:{door.port}", door.keys["support"], {"store": giving.store, "path": path}]
    await asyncio.to_thread(run, tmp_path, UPLOADING.format(given=json.dumps(given)))

    told = await ask(
        f"{{ files(where: {{path: {{eq: {json.dumps(path)}}}}}) {{ nodes {{ size text(maxBytes: 5) }} }} }}"
    )
    assert told.data == {"files": {"nodes": [{"size": str(len(body.encode())), "text": "é,1\n"}]}}


UPLOADING = """
import {{ upload }} from "./upload.mjs";
const [door, key, place] = {given};
await upload(door, key, new Blob(["é,1\\n".repeat(900000)], {{ type: "text/csv" }}), place);
"""


def run(folder: Path, program: str) -> None:
    (folder / "run.mjs").write_text(program, encoding="utf-8")
    done = subprocess.run((NODE, folder / "run.mjs"), capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr


def signed(url: str) -> list[str]:
    """What of it nobody could guess, and what else is as long."""
    values = (part.partition("=")[2] for part in urlsplit(url).query.split("&"))
    return [value for value in values if len(value) > 20]
