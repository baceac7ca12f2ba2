"""Serve the product over the benchmark's schema: `python -m benchmarks.onedoor --config onedoor.toml`."""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks import onedoor
from benchmarks.onedoor import many
from onedoor.app import App
from onedoor.company import Company
from onedoor.config import load_settings
from onedoor.http.server import run_server


def add_types(company: Company, count: int) -> Company:
    """Build the company with this many further types."""
    return replace(
        company,
        schema_modules=(*company.schema_modules, many.module(count)),
        mappings=(*company.mappings, *many.bindings(count)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.onedoor")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--types", type=int, default=0, help="further types in the schema")
    chosen = parser.parse_args()
    settings = load_settings(chosen.config)
    company = add_types(onedoor.load_company(), chosen.types) if chosen.types else onedoor.load_company()
    run_server(partial(App, settings, company), settings.server.host, chosen.port, settings.limits)


if __name__ == "__main__":
    main()
