"""Create companies in folders with `onedoor new`, and load them one after the other in one process."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import chdir, closing, contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from auth import api_keys, users
from demo.servers.run import HOST, ROOT, accepts
from onedoor.cli.main import main
from onedoor.cli.new import create_company
from onedoor.company import PACKAGES
from onedoor.config import Settings, load_settings
from onedoor.storage.database import open_database

EMAIL = "ada@example.com"
START_SECONDS = 40


@contextmanager
def isolated() -> Iterator[None]:
    """Let another company than Acme be loaded here, and forget it afterwards."""
    path, before = list(sys.path), {name: sys.modules.pop(name) for name in list_company_modules()}
    try:
        yield
    finally:
        for name in list_company_modules():
            del sys.modules[name]
        sys.modules.update(before)
        sys.path[:] = path


def list_company_modules() -> list[str]:
    return [name for name in sys.modules if name.split(".")[0] in PACKAGES]


def make_company(folder: Path, files: Mapping[str, str] | None = None) -> Path:
    """An empty company, and these files in it."""
    create_company(folder)
    for name, text in (files or {}).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def run_command(*words: str, cwd: Path) -> str:
    """Run a command of `onedoor` in this process, as from that folder, and return what it printed."""
    with isolated(), chdir(cwd):
        ended = CliRunner().invoke(main, words, catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def read_settings(folder: Path) -> Settings:
    return load_settings(folder / "onedoor.toml", {})


def create_key(folder: Path, *groups: str) -> str:
    """The key of a person in these groups."""
    settings = read_settings(folder)
    with closing(open_database(settings.state.url, settings.state.pepper.encode())) as database:
        users.create_user(database, first_name="Ada", last_name="Lovelace", email=EMAIL)
        for group in groups:
            users.join_group(database, EMAIL, group)
        return api_keys.create_key(database, EMAIL).text


@contextmanager
def run_server(
    command: list[str], port: int, cwd: Path, product: Path = ROOT, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """A process of its own that serves on the port."""
    variables = {**os.environ, **(environment or {}), "PYTHONPATH": str(product)}
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=cwd, env=variables)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not accepts(port):
            assert process.poll() is None, "it did not start"
            assert time.monotonic() < deadline, "it did not start in time"
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(30)


def ask(port: int, key: str, query: str) -> Any:
    """The reply of a server."""
    body = json.dumps({"query": query}).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    request = urllib.request.Request(f"http://{HOST}:{port}/graphql", body, headers)
    with urllib.request.urlopen(request, timeout=20) as reply:
        return json.loads(reply.read())
