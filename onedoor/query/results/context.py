"""Define what all parts of completion share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from onedoor.model.catalog import Catalog
from onedoor.query.authorize import Decisions
from onedoor.query.errors import FieldErrors, ResponsePath
from onedoor.query.executor.state import BranchResults
from onedoor.query.planner.bind import BoundPlan
from onedoor.query.selection import SelectedField
from onedoor.spi.predicates import Row


class PropagatedNull:
    """Stands for a null that its place cannot hold."""


PROPAGATED_NULL = PropagatedNull()

ValueCompleter = Callable[[Any, ResponsePath], Any]
"""Complete a field from a row, or from a ConnectionSlice, and its path, to a value or PROPAGATED_NULL."""


@dataclass(slots=True, kw_only=True)
class CompletionContext:
    """One result under way."""

    catalog: Catalog
    decisions: Decisions
    results: BranchResults
    bound_plan: BoundPlan
    null_log: FieldErrors


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSlice:
    """The page of a list that belongs to one key, in order, and whether it has more rows."""

    key: Row
    rows: Sequence[Row]
    has_more: bool


def build_null_completer(
    record_null: Callable[[SelectedField, ResponsePath], None], field: SelectedField
) -> ValueCompleter:
    """Complete a field to null, recording each."""

    def complete(row: Any, path: ResponsePath) -> Any:
        record_null(field, path)
        return None

    return complete
