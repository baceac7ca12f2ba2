"""Follow docs/getting-started.md: create a company, generate its schema, and compare the answer on the page."""

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from demo.servers.run import HOST, ROOT
from onedoor.app import open_app
from onedoor.company import load_company
from onedoor.config import load_settings
from onedoor.query.context import GraphQLRequest
from onedoor.query.engine import execute
from tests.companies import isolated, run_command, run_server
from tests.docs.pages import Block, every
from tests.servers.ports import find_free_port

PAGE = ROOT / "docs/getting-started.md"
STEPS = [block for block in every(PAGE) if block.language in ("sh", "toml", "json")]
COMMAND = re.compile(r"python -m onedoor (.*)")
QUERY = re.compile(r"-d '(.*)'", re.DOTALL)


def list_steps(kind: str) -> list[Block]:
    """The blocks before the server starts, of one kind of database."""
    begun = next(index for index, block in enumerate(STEPS) if block.words == ("serve",))
    return [block for block in STEPS[:begun] if block.words in ((), (kind,))]


def only(language: str, *words: str) -> str:
    (block,) = (block for block in STEPS if (block.language, block.words) == (language, words))
    return block.text


def render(step: Block) -> str:
    return step.text if step.language == "sh" else f"cat >> onedoor.toml <<'END'\n{step.text}END\n"


def run(script: str, cwd: Path, environment: Mapping[str, str]) -> str:
    ended = subprocess.run(["bash", "-euc", script], cwd=cwd, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_a_first_answer_over_a_database(chinook_in_sqlite: str, tmp_path: Path) -> None:
    """As a newcomer does it: in a shell, each command a process."""
    port = find_free_port()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "bin/python").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    script = "".join(map(render, list_steps("sqlite"))).replace("sqlite:///chinook.sqlite", chinook_in_sqlite)
    script = script.replace('"chinook.sqlite"', f'"{chinook_in_sqlite.partition(":///")[2]}"')
    key = run(f"{script}\nprintf %s $KEY", tmp_path, environment).splitlines()[-1]
    folder = tmp_path / "acme"
    with run_server(["onedoor", "serve", "--port", str(port)], port, folder):
        fetch_data = only("sh", "ask").replace("127.0.0.1:8000", f"{HOST}:{port}")
        answer = json.loads(run(fetch_data, folder, {**environment, "KEY": key}))
    assert answer == json.loads(only("json"))
    assert "class Customer:" in (folder / "schema/customer.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_first_answer_over_another_database(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The same commands, in this process."""
    url, folder, key = request.getfixturevalue(f"chinook_in_{kind}"), tmp_path / "acme", ""
    assert f"export SHOP_URL={kind}://" in only("sh", kind)
    monkeypatch.setenv("SHOP_URL", url)
    for step in list_steps(kind):
        if step.language == "toml":
            with (folder / "onedoor.toml").open("a", encoding="utf-8") as settings:
                settings.write(step.text)
            continue
        for command in COMMAND.findall(step.text):
            words = shlex.split(command.rstrip(")").replace("$SHOP_URL", url))
            key = run_command(*words, cwd=folder if folder.exists() else tmp_path)
    assert asyncio.run(ask(folder, key.strip())) == json.loads(only("json"))
    assert "class Customer:" in (folder / "schema/customer.py").read_text(encoding="utf-8")


async def ask(folder: Path, key: str) -> Any:
    """The answer of the company's application to the page's query."""
    (body,) = QUERY.findall(only("sh", "ask"))
    with isolated():
        async with open_app(load_settings(folder / "onedoor.toml"), load_company(folder)) as state:
            caller = await state.authenticator.authenticate(key)
            assert caller is not None
            result = await execute(state.engine, caller, GraphQLRequest(query=json.loads(body)["query"]))
    assert list(result.errors) == []
    return json.loads(orjson.dumps({"data": result.data}))
