"""Build the wheel of this checkout without a network, install it into a folder, and start it from there."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from demo.servers.run import ROOT
from tests.companies import ask, create_key, make_company, run_server
from tests.servers.ports import find_free_port

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BUILD = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the wheel installs; what it depends on is that of this environment."""
    source, built, folder = (tmp_path_factory.mktemp(name) for name in ("source", "built", "installed"))
    for name in ("auth", "onedoor"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", source)
    subprocess.run([sys.executable, "-c", BUILD, str(built)], cwd=source, check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def onedoor(installed: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "onedoor", *words],
        cwd=cwd, env={"PYTHONPATH": str(installed)}, capture_output=True, text=True,
    )  # fmt: skip


def test_a_company_starts_from_what_the_wheel_installs(installed: Path, tmp_path: Path) -> None:
    folder, port = tmp_path / "company", find_free_port()
    assert onedoor(installed, tmp_path, "new", "company").returncode == 0
    checked = onedoor(installed, folder, "check")
    assert (checked.returncode, checked.stderr) == (0, "")
    key = create_key(folder)
    with run_server(["onedoor", "serve", "--port", str(port)], port, folder, installed):
        assert ask(port, key, "{ me { firstName } }") == {"data": {"me": {"firstName": "Ada"}}}


def test_the_wheel_holds_the_product_and_nothing_of_a_company(installed: Path) -> None:
    assert {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")} == {"auth", "onedoor"}
    for name in ("http/graphiql/index.html", "storage/migrations/env.py", "storage/migrations/versions/jobs.py"):
        assert (installed / "onedoor" / name).is_file()
    built, ours = (
        sorted(path.name for path in (root / "onedoor/http/graphiql").rglob("*")) for root in (installed, ROOT)
    )
    assert built == ours


def test_a_package_called_auth_of_somebody_elses_is_refused(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "auth").mkdir()
    (tmp_path / "auth/__init__.py").touch()
    refused = onedoor(installed, make_company(tmp_path / "company").parent, "check")
    assert (refused.returncode, refused.stderr.splitlines()[-1]) == (
        1, "ImportError: `auth` is a package of Onedoor: rename yours",
    )  # fmt: skip


def test_what_it_depends_on_is_what_the_server_is_locked_to() -> None:
    locked = (ROOT / "requirements/server.in").read_text(encoding="utf-8").split()
    extras = [name for names in PROJECT["optional-dependencies"].values() for name in names]
    assert {*PROJECT["dependencies"], *extras} == set(locked)
