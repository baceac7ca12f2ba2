"""What the parts of rendering share."""

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
    """In place of a value: a null that its place cannot hold."""


PROPAGATED_NULL = PropagatedNull()

ValueCompleter = Callable[[Any, ResponsePath], Any]
"""From what a pick is taken of (a row; for connections and pages a `Slice`), and its place, to its value or NULL."""


@dataclass(slots=True, kw_only=True)
class CompletionContext:
    """One answer under way."""

    catalog: Catalog
    decisions: Decisions
    results: BranchResults
    bound_plan: BoundPlan
    null_log: FieldErrors


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSlice:
    """One list of one parent: its rows in order, and what is known of those around them."""

    key: Row
    rows: Sequence[Row]
    has_more: bool


def build_null_completer(
    record_null: Callable[[SelectedField, ResponsePath], None], field: SelectedField
) -> ValueCompleter:
    """Null, each time noted."""

    def value(row: Any, path: ResponsePath) -> Any:
        record_null(field, path)
        return None

    return value
