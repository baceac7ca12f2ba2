"""`python -m benchmarks.onedoor --config onedoor.toml`: the product's own app over the benchmark's subjects."""

import argparse
from functools import partial
from pathlib import Path
from types import ModuleType

from benchmarks import onedoor
from benchmarks.onedoor import many
from onedoor.app import App
from onedoor.config import load_settings
from onedoor.http.server import run_server
from onedoor.model.mapping import TypeMapping


def with_types(count: int) -> ModuleType:
    """The subjects, and so many further types beside them."""
    made = ModuleType("subjects")

    def modules() -> tuple[ModuleType, ...]:
        return *onedoor.modules(), many.module(count)

    def bindings() -> dict[str, TypeMapping]:
        return {**onedoor.bindings(), **{each.type: each for each in many.bindings(count)}}

    for each in (modules, bindings, onedoor.changes, onedoor.feeds, onedoor.acting):
        setattr(made, each.__name__, each)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.onedoor")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--types", type=int, default=0, help="further types in the schema")
    chosen = parser.parse_args()
    settings = load_settings(chosen.config)
    subjects = with_types(chosen.types) if chosen.types else onedoor
    run_server(partial(App, settings, subjects), settings.server.host, chosen.port, settings.limits)


if __name__ == "__main__":
    main()
