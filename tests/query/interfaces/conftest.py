"""Give the tests of interfaces a world, the groups of two principals, and short forms of errors."""

from typing import Any

import pytest

from onedoor.query.context import ExecutionResult
from tests.query.interfaces.world import World, world

INSIDER = ("people", "finance", "sales")
OUTSIDER = ("sales",)


@pytest.fixture
def law_world() -> World:
    """The first world in which every source has several papers, and someone has one of each."""
    return next(item for item in (world(f"law {number}") for number in range(1000)) if has_several_papers(item))


def has_several_papers(of: World) -> bool:
    owned = [{row["person_id"] for row in rows} for rows in of.papers.values()]
    return all(len(rows) > 3 for rows in of.papers.values()) and 1 in set.intersection(*owned)


def count_requests(of: World, shelf: str) -> int:
    return len(of.sources[shelf].requests)


def describe_errors(answer: ExecutionResult) -> list[tuple[Any, ...]]:
    return [(error.code, error.path, (error.extensions or {}).get("position")) for error in answer.errors]
