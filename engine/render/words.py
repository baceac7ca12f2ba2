"""What the parts of rendering share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.bind import Bound
from engine.faults import Faults, Path
from engine.fetch.words import Results
from engine.house import House
from engine.permit import Verdicts
from engine.select import Pick
from engine.words import Row


class Null:
    """In place of a value: a null that its place cannot hold."""


NULL = Null()
Value = Callable[[Any, Path], Any]
"""From what a pick is taken of (a row; for connections and pages a `Slice`), and its place, to its value or NULL."""


@dataclass(slots=True, kw_only=True)
class Rendering:
    """One answer under way."""

    house: House
    verdicts: Verdicts
    results: Results
    values: Bound
    faults: Faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One list of one parent: its rows in order, and what is known of those around them."""

    key: Row
    rows: Sequence[Row]
    overflow: bool


def noting(note: Callable[[Pick, Path], None], pick: Pick) -> Value:
    """Null, each time noted."""

    def value(row: Any, path: Path) -> Any:
        note(pick, path)
        return None

    return value
