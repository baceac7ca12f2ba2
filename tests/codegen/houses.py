"""A database in, its files written to a folder as the command writes them, and the house that stands on these out."""

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


def introspected(url: str, folder: Path, *options: str, source: str = "own") -> str:
    """What the command prints."""
    told = run(url, folder, *options, source=source)
    assert told.exit_code == 0, told.output
    return told.output


def run(url: str, folder: Path, *options: str, source: str = "own") -> Result:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(acme.ROOT / GROUPS_FILE, folder / GROUPS_FILE)
    words = ["--config", str(folder / "onedoor.toml"), "introspect", url, "--source", source, "--into", str(folder)]
    with ThreadPoolExecutor(1) as beside:  # where no event loop runs yet
        return beside.submit(CliRunner().invoke, main, [*words, *options]).result()


@contextmanager
def written(folder: Path) -> Iterator[tuple[Sequence[ModuleType], Mapping[str, Any]]]:
    """The modules of schema/ and the bindings by type, imported as if they stood in the repository."""
    before = dict(sys.modules)
    places = {each: list(each.__path__) for each in (schema, resolvers)}
    try:
        for package in places:  # where one file imports another
            own = folder / package.__name__
            package.__path__.insert(0, str(own))
            for each in own.glob("*.py"):
                sys.modules.pop(f"{package.__name__}.{each.stem}", None)
        modules = [imported(each) for each in sorted((folder / "schema").glob("*.py"))]
        found = [imported(each) for each in sorted((folder / "resolvers").glob("*.py"))]
        yield modules, {each.type: each for module in found for each in module.MAPPINGS}
    finally:
        for package, path in places.items():
            package.__path__[:] = path
        for name in set(sys.modules) - set(before):
            del sys.modules[name]
        sys.modules.update(before)


def imported(path: Path) -> ModuleType:
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


def house(folder: Path, source: Connector, name: str = "own") -> QueryEngine:
    """Raises Mistake where what is written does not fit the source."""
    with written(folder) as (modules, bindings):
        made, rules = build_schema_and_policy((me, *modules))
        own = {each.type: each for each in principal.MAPPINGS}
        of = Catalog(
            schema=made,
            policy=rules,
            mappings={**own, **bindings},
            connectors={name: source, "caller": build_empty_principal_connector()},
            limits=Limits(),
            cursor_secret=b"a secret of the tests",
            version=compute_version(build_document((me, *modules))),
        )
        validate_catalog(of)
        return acme.opened(of)


async def asked(desk: QueryEngine, text: str, *groups: str) -> Any:
    """The data, where nothing failed."""
    told = await acme.ask(desk, text, *(groups or ("sales",)))
    assert list(told.errors) == [], [each.message for each in told.errors]
    return told.data
