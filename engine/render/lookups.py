"""What a look-up read in, its values by the key of the row they stand in out."""

from collections.abc import Mapping
from typing import Any

from engine.fetch.words import Fetched
from engine.finish import key_of
from engine.plan.words import Branch
from engine.words import Row


def looked_up(branch: Branch, result: Fetched) -> Mapping[Row, Any]:
    """A key of which nothing was found is not there."""
    if not result.rows:
        return {}
    assert branch.column is not None
    at, key = result.columns.index(branch.column), key_of(branch.there, result.columns)
    return {key(row): row[at] for row in result.rows}
