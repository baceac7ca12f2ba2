"""Follow docs/getting-started.md: create a company, generate its schema, and compare the answer on the page."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from demo.servers.run import HOST, ROOT
from tests.companies import run_server
from tests.docs.pages import Block, every
from tests.servers.ports import find_free_port

PAGE = ROOT / "docs/getting-started.md"
STEPS = [block for block in every(PAGE) if block.language in ("sh", "toml", "json")]


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


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
def test_a_first_answer_over_a_database(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    url, port = request.getfixturevalue(f"chinook_in_{kind}"), find_free_port()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "bin/python").chmod(0o755)
    environment = {
        **os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "SHOP_URL": url,
    }  # fmt: skip
    script = "".join(map(render, list_steps(kind))).replace(f"{kind}://me:secret@localhost/chinook", url)
    script = script.replace("sqlite:///chinook.sqlite", url).replace(
        '"chinook.sqlite"', f'"{url.partition(":///")[2]}"'
    )
    key = run(f"{script}\nprintf %s $KEY", tmp_path, environment).splitlines()[-1]
    folder = tmp_path / "acme"
    with run_server(["onedoor", "serve", "--port", str(port)], port, folder, environment={"SHOP_URL": url}):
        fetch_data = only("sh", "ask").replace("127.0.0.1:8000", f"{HOST}:{port}")
        answer = json.loads(run(fetch_data, folder, {**environment, "KEY": key}))
    assert answer == json.loads(only("json"))
    assert "class Customer:" in (folder / "schema/customer.py").read_text(encoding="utf-8")
