"""Start Chromium, where it is installed, and servers with a hundredth of Acme."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from demo.servers.run import HOST, ROOT, RunningServers, reserved_port
from tests.e2e.browser.visit import WIDE, Visit, visit
from tests.runtime.failures.conftest import RunningServer, run_server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-gpu",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
    "--js-flags=--single-threaded --no-opt",  # optimizing costs a tenth more than it gains
)
DASHBOARD = ROOT / "demo" / "dashboard"
KEY = re.compile(r"^([\w-]+) - .*\n  (od_\w+)$", re.MULTILINE)
STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Acme:
    """A running server: its URL, its folder, and the key of each group."""

    url: str
    folder: Path
    keys: Mapping[str, str]


@pytest.fixture(scope="session")
def playwright() -> Any:
    library = pytest.importorskip("playwright.sync_api", reason="the pages in a browser: `pip install playwright`")
    if CHROMIUM is None:
        pytest.skip("the pages in a browser: `apt-get install chromium`")
    return library.sync_playwright


@pytest.fixture(scope="module")
def browser(playwright: Any) -> Iterator[Any]:
    """Gone with its module: while Playwright runs, its event loop stands in the way of every asynchronous test."""
    with playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def context(browser: Any) -> Any:
    """The browser's one context: what it has compiled of GraphiQL saves the next visit half of its time."""
    return browser.new_context(locale="en")


@pytest.fixture(scope="session")
def acme(playwright: Any, acme_servers: RunningServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acme]:
    """Acme, with its dashboard."""
    with run_server(acme_servers, tmp_path_factory.mktemp("acme")) as server:
        server.app.mount_pages("/dashboard", DASHBOARD)
        yield describe(server)


@pytest.fixture(scope="session")
def acme_without_slack(
    playwright: Any, acme_servers: RunningServers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Acme]:
    """Acme where nobody listens on Slack's port."""
    with ExitStack() as stack:
        folder, closed = tmp_path_factory.mktemp("acme-without-slack"), (HOST, reserved_port(stack))
        server = stack.enter_context(run_server(acme_servers, folder, slack=closed))
        yield describe(server)


def describe(server: RunningServer) -> Acme:
    return Acme(url=f"http://{HOST}:{server.port}", folder=server.folder, keys=server.keys)


@pytest.fixture
def visiting(context: Any) -> Iterator[Callable[..., Visit]]:
    """Opens a tab that keeps nothing from a visit before."""
    tabs = chain(context.pages, iter(context.new_page, None))
    with ExitStack() as visits:
        kept = []

        def open_tab(*, width: int = WIDE) -> Visit:
            kept.append(next(tabs))
            return visits.enter_context(visit(kept[-1], width=width))

        yield open_tab
        for page in {*context.pages}.difference(kept):
            page.close()


@contextmanager
def run_demo(folder: Path) -> Iterator[Acme]:
    with ExitStack() as stack:
        port = reserved_port(stack)
    arguments = ("--scale", "0.01", "--port", str(port), "--folder", str(folder))
    process = subprocess.Popen(
        [sys.executable, "-m", "demo", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        result = until_open(process)
        yield Acme(url=f"http://{HOST}:{port}", folder=folder, keys=dict(KEY.findall(result)))
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        process.kill()
        process.communicate()


def until_open(process: subprocess.Popen[str]) -> str:
    """What the demo says, up to its last word of welcome."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if "Ctrl-C" in line:
            return text
    raise AssertionError(f"the demo did not start: {text}")
