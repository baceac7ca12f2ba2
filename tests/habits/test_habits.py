"""The habits of the code, as tests: imports from outside, names of loggers, contents of the locks."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APART = frozenset({"tests", "docs", "benchmarks", "requirements"})
"""Folders beside the product; what they import is their own affair."""

CONNECTORS = ("onedoor/connectors", "demo")
DIRECTORY = ("auth/directory", "onedoor/http/scim.py")
DATABASE = (
    "onedoor/storage", "onedoor/administration", "onedoor/mutations", "onedoor/jobs", "onedoor/connectors",
    "onedoor/cli", "auth", "demo",
)  # fmt: skip
SERVING = ("onedoor/app", "onedoor/http", "demo")
PLACES = {
    "strawberry": ("onedoor/schema", "schema"),
    "uvicorn": SERVING,
    "fastapi": SERVING,
    "starlette": SERVING,
    "h11": SERVING,
    "httptools": SERVING,
    "sqlalchemy": DATABASE,
    "alembic": ("onedoor/storage",),
    "psycopg": DATABASE,
    "dbos": ("onedoor/jobs",),
    "croniter": ("onedoor/jobs",),
    "duckdb": ("onedoor/connectors/spill", "demo"),
    "aiohttp": (*CONNECTORS, "auth/directory/oidc_client.py"),
    "asyncpg": CONNECTORS,
    "asyncmy": CONNECTORS,
    "pymysql": CONNECTORS,
    "boto3": CONNECTORS,
    "botocore": CONNECTORS,
    "slack_sdk": CONNECTORS,
    "google": CONNECTORS,
    "snowflake": CONNECTORS,
    "scim2_models": DIRECTORY,
    "scim2_server": DIRECTORY,
    "ldap3": DIRECTORY,
    "authlib": DIRECTORY,
    "joserfc": DIRECTORY,
    "fakesnow": ("demo",),
    "moto": ("demo",),
    "flask": ("demo",),
    "werkzeug": ("demo",),
}
"""By library, the only paths, as prefixes, that may import it."""
LATE = (
    "aiohttp", "asyncpg", "asyncmy", "pymysql", "boto3", "botocore", "slack_sdk", "snowflake", "fakesnow", "moto",
    "flask", "demo", "google", "dbos", "duckdb", "scim2_models", "scim2_server", "ldap3", "authlib", "joserfc",
)  # fmt: skip
"""What is not imported until a source of its kind is named."""


@cache
def trees() -> dict[Path, ast.Module]:
    """Every file of the product, parsed."""
    paths = list(ROOT.glob("*.py"))
    paths += [path for folder in folders() for path in folder.rglob("*.py") if "node_modules" not in path.parts]
    return {path.relative_to(ROOT): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def folders() -> list[Path]:
    paths = (path for path in ROOT.iterdir() if path.is_dir() and path.name not in APART)
    return [path for path in paths if not path.name.startswith(".") and any(path.glob("*.py"))]


def imports(tree: ast.Module) -> Iterator[str]:
    """The top-level names a file imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@cache
def imports_by_path() -> dict[Path, frozenset[str]]:
    return {path: frozenset(imports(tree)) for path, tree in trees().items()}


@pytest.mark.parametrize("library", PLACES)
def test_a_library_is_imported_only_where_it_may_be(library: str) -> None:
    elsewhere = {
        path
        for path, libraries in imports_by_path().items()
        if library in libraries and not path.as_posix().startswith(PLACES[library])
    }
    assert elsewhere == set()


def test_no_vendor_is_imported_before_a_source_of_its_kind_is_named() -> None:
    code = f"import sys, onedoor.app; print([each for each in {LATE!r} if each in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_no_installed_distribution_provides_a_name_of_ours() -> None:
    ours = {path.stem for path in ROOT.glob("*.py")} | {folder.name for folder in folders()}
    assert {"auth", "onedoor", "resolvers", "schema"} <= ours
    provided = {name: by for name, by in packages_distributions().items() if name in ours}
    assert {name: by for name, by in provided.items() if name not in ("auth", "onedoor") or by != ["onedoor"]} == {}


def test_our_tests_are_no_package() -> None:
    assert not (ROOT / "tests" / "__init__.py").exists()
    assert [path for path in (ROOT / "tests").rglob("__init__.py") if "node_modules" not in path.parts] == []


def loggers(tree: ast.Module) -> Iterator[str]:
    """What loggers a file writes to; one whose level alone is set is a vendor's, told to be quiet."""
    quiet = {
        id(node.func.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setLevel"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("getLogger") and id(node) not in quiet:
            (name,) = node.args or (ast.Constant(""),)
            yield name.value if isinstance(name, ast.Constant) else ast.unparse(name)


def test_every_logger_is_named_after_the_product() -> None:
    named = {(path, name) for path, tree in trees().items() for name in loggers(tree)}
    assert {item for item in named if not re.fullmatch(r"onedoor(\.[a-z_]+)*", item[1])} == set()
    assert named != set()


def test_nobody_logs_through_the_root() -> None:
    calls = {
        (path, ast.unparse(node.func))
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and re.fullmatch(r"logging\.(debug|info|warning|error|exception|log)", ast.unparse(node.func))
    }
    assert calls == set()


def test_every_module_says_what_it_is() -> None:
    silent = {path for path, tree in trees().items() if tree.body and ast.get_docstring(tree) is None}
    assert silent == set()
