"""A database in, its files written to a folder as the command writes them, and the house that stands on these out."""

import importlib.util
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
from cli import main
from engine.desk import Desk
from engine.fits import fits
from engine.house import House, Limits
from engine.source import Source
from resolvers import query as query_mappings
from resolvers.query import nobody
from schema import query as query_types
from schema.build import build, version
from tests import acme


def introspected(url: str, folder: Path, *options: str, source: str = "own") -> str:
    """What the command prints."""
    told = run(url, folder, *options, source=source)
    assert told.exit_code == 0, told.output
    return told.output


def run(url: str, folder: Path, *options: str, source: str = "own") -> Result:
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
        yield modules, {each.type: each for module in found for each in module.BINDINGS}
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


def house(folder: Path, source: Source, name: str = "own") -> Desk:
    """Raises Mistake where what is written does not fit the source."""
    with written(folder) as (modules, bindings):
        made, rules = build((query_types, *modules))
        own = {each.type: each for each in query_mappings.BINDINGS}
        of = House(
            schema=made,
            rules=rules,
            bindings={**own, **bindings},
            sources={name: source, "caller": nobody()},
            limits=Limits(),
            cursor_secret=b"a secret of the tests",
            version=version((query_types, *modules)),
        )
        fits(of)
        return acme.opened(of)


async def asked(desk: Desk, text: str, *groups: str) -> Any:
    """The data, where nothing failed."""
    told = await acme.ask(desk, text, *(groups or ("sales",)))
    assert list(told.faults) == [], [each.message for each in told.faults]
    return told.data
