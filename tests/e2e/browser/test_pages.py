"""Serve the committed build of the pages over ASGI, and nothing else."""

import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from demo.servers.run import ROOT
from onedoor.app import GRAPHIQL_FOLDER, GRAPHIQL_POLICY, PAGES_FOLDER
from onedoor.http.pages import StaticFiles

DASHBOARD = ROOT / "demo" / "dashboard"
SOURCE = ROOT / "web" / "graphiql"
STAMPED = ("fonts.txt", "index.html", "package-lock.json", "package.json", "vite.config.js")
HOSTS = re.compile(r"unpkg|jsdelivr|npmjs|esm\.sh|cdnjs|yarnpkg|skypack")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


async def request_page(
    pages: StaticFiles, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    result: list[Any] = []

    async def send(message: Any) -> None:
        result.append(message)

    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    await pages({"type": "http", "method": method, "path": path, "headers": given}, send)
    start, body = result
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body["body"]


@pytest.fixture
def pages(tmp_path: Path) -> StaticFiles:
    """Two files inside, and three that must not be reached: above, hidden behind a link's name, of no known kind."""
    folder = tmp_path / "inside"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<p>here")
    (folder / "assets" / "index-a1B2c3-_.js").write_text("1")
    (folder / "mount.py").write_text("secret")
    (tmp_path / "index.html").write_text("secret")
    return StaticFiles(folder, mount_path="/here")


@pytest.mark.parametrize("path", ["/here", "/here/", "/here/index.html"])
async def test_the_first_page_is_found_by_the_folders_name(pages: StaticFiles, path: str) -> None:
    status, headers, body = await request_page(pages, path)

    assert (status, body) == (200, b"<p>here")
    assert headers == {
        "content-type": "text/html; charset=utf-8",
        "etag": f'"{hashlib.sha256(b"<p>here").hexdigest()[:32]}"',
        "cache-control": "no-cache",
        "content-length": "7",
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }


@pytest.mark.parametrize("path", [
    "/here/../index.html", "/here/..", "/here//index.html", "/here/./index.html", "/here/%2e%2e/index.html",
    "/here/assets", "/here/assets/../index.html", "/here/mount.py", "/here/\\..\\index.html", "/here/index.html\0",
])  # fmt: skip
async def test_a_path_that_names_no_file_of_the_folder_finds_nothing(pages: StaticFiles, path: str) -> None:
    status, headers, body = await request_page(pages, path)

    assert (status, body, headers["content-security-policy"]) == (404, b"there is nothing here", POLICY)


async def test_a_file_named_by_its_content_is_kept_for_good(pages: StaticFiles) -> None:
    _, headers, _ = await request_page(pages, "/here/assets/index-a1B2c3-_.js")

    assert headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_what_the_browser_has_already_is_not_sent_again(pages: StaticFiles) -> None:
    _, headers, _ = await request_page(pages, "/here")
    status, _, body = await request_page(pages, "/here", if_none_match=headers["etag"])

    assert (status, body) == (304, b"")


LARGE = "x" * 5000


async def test_values_stand_in_a_page_as_text(pages: StaticFiles, tmp_path: Path) -> None:
    (tmp_path / "inside" / "index.html").write_text('<p title="{{place}}">')
    pages = StaticFiles(tmp_path / "inside", mount_path="/here", values={"place": '"><script>'})

    assert (await request_page(pages, "/here"))[2] == b'<p title="&quot;&gt;&lt;script&gt;">'


async def test_a_large_file_is_compressed_for_who_accepts_that(pages: StaticFiles, tmp_path: Path) -> None:
    (tmp_path / "inside" / "large.js").write_text(LARGE)
    pages = StaticFiles(tmp_path / "inside", mount_path="/here")
    plain = await request_page(pages, "/here/large.js", accept_encoding="br")
    gzipped = await request_page(pages, "/here/large.js", accept_encoding="br, gzip")
    assert (gzip.decompress(gzipped[2]), plain[2]) == (LARGE.encode(), LARGE.encode())
    assert gzipped[1]["content-encoding"] == "gzip"
    assert "content-encoding" not in plain[1]
    assert int(gzipped[1]["content-length"]) == len(gzipped[2]) < 100
    assert {status_and_headers[1]["vary"] for status_and_headers in (plain, gzipped)} == {"Accept-Encoding"}
    assert plain[1]["etag"] != gzipped[1]["etag"]


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
@pytest.mark.parametrize("known", ["{etag}", "W/{etag}", '"other", {etag}', "*"])
async def test_a_variant_that_the_browser_has_is_not_sent_again(tmp_path: Path, accepted: str, known: str) -> None:
    (tmp_path / "large.js").write_text(LARGE)
    pages = StaticFiles(tmp_path, mount_path="/here")
    _, first, _ = await request_page(pages, "/here/large.js", accept_encoding=accepted)
    tag = known.format(etag=first["etag"])
    status, headers, body = await request_page(pages, "/here/large.js", accept_encoding=accepted, if_none_match=tag)
    assert (status, body, headers["etag"], headers["vary"]) == (304, b"", first["etag"], "Accept-Encoding")


async def test_the_first_visit_of_graphiql_takes_less_than_half_of_what_it_has() -> None:
    files = StaticFiles(GRAPHIQL_FOLDER, mount_path="/graphiql").files.values()
    sizes = [(len((file.gzipped or file.plain).body), len(file.plain.body)) for file in files]
    assert sum(size for size, _ in sizes) < 0.4 * sum(size for _, size in sizes)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("POST", 405), ("DELETE", 405)])
async def test_pages_are_only_read(pages: StaticFiles, method: str, status: int) -> None:
    assert (await request_page(pages, "/here", method))[::2] == (status, b"")


@pytest.mark.parametrize(("path", "held"), [("/here", True), ("/here/x", True), ("/hereafter", False), ("/", False)])
def test_only_what_is_below_its_path_is_its_own(pages: StaticFiles, path: str, held: bool) -> None:
    assert pages.matches(path) == held


@pytest.mark.parametrize("folder", [GRAPHIQL_FOLDER, DASHBOARD, PAGES_FOLDER / "account", PAGES_FOLDER / "admin"])
def test_every_file_has_a_media_type_and_names_no_registry(folder: Path) -> None:
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}

    assert files.keys() == StaticFiles(folder, mount_path="/x").files.keys()
    assert [name for name, path in files.items() if HOSTS.search(path.read_text(errors="replace"))] == []


def test_only_graphiql_may_write_styles_and_start_workers() -> None:
    assert GRAPHIQL_POLICY == {"style-src": "'self' 'unsafe-inline'", "worker-src": "'self'"}


def test_the_build_is_of_the_sources_beside_it() -> None:
    inside = [f"{folder}/{path.name}" for folder in ("src", "public") for path in (SOURCE / folder).iterdir()]
    digest = hashlib.sha256()
    for name in sorted((*STAMPED, *inside)):
        digest.update(f"{name}\0".encode() + (SOURCE / name).read_bytes() + b"\0")

    assert (GRAPHIQL_FOLDER / "stamp.txt").read_text() == f"{digest.hexdigest()}\n", "make graphiql"


def test_every_bundled_package_has_its_licence_beside_the_build() -> None:
    lock = json.loads((SOURCE / "package-lock.json").read_text())["packages"]
    bundled = {path.split("node_modules/")[-1] for path, item in lock.items() if path and not item.get("dev")}
    licences = (GRAPHIQL_FOLDER / "LICENSES.txt").read_text()

    assert [name for name in sorted(bundled) if f"\n{name} " not in licences and f"{name} " not in licences] == []


def test_the_lock_names_no_registry() -> None:
    packages = json.loads((SOURCE / "package-lock.json").read_text())["packages"].values()

    assert [package for package in packages if "resolved" in package] == []
