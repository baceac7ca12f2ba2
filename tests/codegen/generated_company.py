"""Write the files of a database to a folder as the command does, and build an engine from them."""

import importlib.util
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from click.testing import CliRunner, Result

import resolvers
import schema
from onedoor.cli.main import main
from onedoor.company import GROUPS_FILE
from onedoor.connectors import principal
from onedoor.connectors.principal import build_empty_principal_connector
from onedoor.model.catalog import Catalog, Limits
from onedoor.query.context import QueryEngine
from onedoor.query.startup_checks import validate_catalog
from onedoor.schema.builder import build_document, build_schema_and_policy, compute_version
from onedoor.schema.builtin import me
from onedoor.spi.connector import Connector
from tests import acme


def introspect(url: str, folder: Path, *options: str, source: str = "own") -> str:
    """What the command prints."""
    result = run(url, folder, *options, source=source)
    assert result.exit_code == 0, result.output
    return result.output


def run(url: str, folder: Path, *options: str, source: str = "own") -> Result:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(acme.ROOT / GROUPS_FILE, folder / GROUPS_FILE)
    words = ["--config", str(folder / "onedoor.toml"), "introspect", url, "--source", source, "--into", str(folder)]
    with ThreadPoolExecutor(1) as beside:  # where no event loop runs yet
        return beside.submit(CliRunner().invoke, main, [*words, *options]).result()


@contextmanager
def import_generated(folder: Path) -> Iterator[tuple[Sequence[ModuleType], Mapping[str, Any]]]:
    """The modules of schema/ and the bindings by type, imported as if they stood in the repository."""
    before = dict(sys.modules)
    places = {item: list(item.__path__) for item in (schema, resolvers)}
    try:
        for package in places:  # where one file imports another
            own = folder / package.__name__
            package.__path__.insert(0, str(own))
            for item in own.glob("*.py"):
                sys.modules.pop(f"{package.__name__}.{item.stem}", None)
        modules = [import_file(item) for item in sorted((folder / "schema").glob("*.py"))]
        results = [import_file(item) for item in sorted((folder / "resolvers").glob("*.py"))]
        yield modules, {mapping.type: mapping for module in results for mapping in module.MAPPINGS}
    finally:
        for package, path in places.items():
            package.__path__[:] = path
        for name in set(sys.modules) - set(before):
            del sys.modules[name]
        sys.modules.update(before)


def import_file(path: Path) -> ModuleType:
    name = f"{path.parent.name}.{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def build_engine(folder: Path, source: Connector, name: str = "own") -> QueryEngine:
    """Raises Mistake where what is written does not fit the source."""
    return acme.open_engine(build_catalog(folder, source, name))


def build_catalog(folder: Path, source: Connector, name: str = "own") -> Catalog:
    with import_generated(folder) as (modules, bindings):
        graphql_schema, rules = build_schema_and_policy((me, *modules))
        own = {mapping.type: mapping for mapping in principal.MAPPINGS}
        of = Catalog(
            schema=graphql_schema,
            policy=rules,
            mappings={**own, **bindings},
            connectors={name: source, "caller": build_empty_principal_connector()},
            limits=Limits(),
            cursor_secret=b"a secret of the tests",
            version=compute_version(build_document((me, *modules))),
        )
        validate_catalog(of)
        return of


async def fetch_data(engine: QueryEngine, text: str, *groups: str) -> Any:
    """The data, where nothing failed."""
    result = await acme.ask(engine, text, *(groups or ("sales",)))
    assert list(result.errors) == [], [error.message for error in result.errors]
    return result.data
