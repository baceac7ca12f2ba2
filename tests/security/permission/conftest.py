"""Give the tests an engine over the small Acme, whose sources keep what they were asked."""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from onedoor.model.catalog import Catalog
from onedoor.query.context import QueryEngine
from tests.acme import build_catalog, open_engine, sources
from tests.query.pushdown.strict import Strict


@pytest.fixture
def recorded_sources() -> dict[str, Strict]:
    """The sources of the small Acme, which keep what they were asked."""
    return {name: Strict(memory) for name, memory in sources().items()}


@pytest.fixture
def engine(recorded_sources: dict[str, Strict]) -> QueryEngine:
    return open_engine(replace(cached_catalog(), connectors={**cached_catalog().connectors, **recorded_sources}))


@cache
def cached_catalog() -> Catalog:
    return build_catalog()


def list_requests(recorded_sources: dict[str, Strict]) -> list[Any]:
    return [scan_request for source in recorded_sources.values() for scan_request in source.requests]
