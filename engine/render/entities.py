"""The representations a router asked for in, their objects out, in the same order."""

from collections.abc import Callable
from typing import Any

from engine.entities import complaint, given, id_of, key, type_of
from engine.errors import Code, Fault, SourceFailed
from engine.faults import Nulls, Path, note, steps
from engine.fetch.words import Fetched
from engine.names import can_of, id_reader
from engine.permit import withheld
from engine.render.words import NULL, Rendering, Value
from engine.select import Pick
from engine.words import Row

Makes = Callable[[Pick, Fetched], Value]
"""Makes the function that renders one row of a type."""


def entities(run: Rendering, pick: Pick, makes: Makes) -> Value:
    """Null where no row has the id; null and a fault where nothing can be known of it, as the list is never null."""
    if withheld(pick, run.verdicts):
        return _never(run, pick)
    shows = {name: _one(run, below[0], makes) if below else _empty for name, below in pick.picks.items()}
    wanted = given(pick.arguments["representations"], run.values.variables)

    def one(representation: Any, place: Path) -> Any:
        wrong = complaint(representation, shows)
        if wrong is not None:
            run.faults.broken.append(Fault(code=Code.BAD_USER_INPUT, message=wrong, path=steps(place)))
            return None
        found = shows[str(type_of(representation))](id_of(representation), place)
        return None if found is NULL else found

    return lambda row, path: [one(each, ((path, pick.key), at)) for at, each in enumerate(wanted)]


def _never(run: Rendering, pick: Pick) -> Value:
    """The list is withheld, which is never null."""

    def value(row: Any, path: Path) -> Any:
        run.faults.withhold(pick, path)
        return NULL

    return value


def _empty(id: Any, place: Path) -> Any:
    """Nothing is wanted of rows of this type, so none was read."""
    return {}


def _one(run: Rendering, pick: Pick, makes: Makes) -> Value:
    """From an id to the object."""
    if withheld(pick, run.verdicts):
        return _noting(run.faults.withheld, pick)
    result = run.results[pick.number]
    if isinstance(result, SourceFailed):
        return _noting(run.faults.failed, pick)
    (name,) = pick.picks
    read, rows, value = reader(run, name), result.by_key(), makes(pick, result)

    def shown(id: Any, place: Path) -> Any:
        found = rows.get(key(read, id) or (), ())
        return value(found[0], place) if found else None

    return shown


def _noting(nulls: dict[int, Nulls], pick: Pick) -> Value:
    return lambda id, place: note(nulls, pick, place)


def reader(run: Rendering, name: str) -> Callable[[str], Row]:
    """Reads ids of a type."""
    binding = run.house.bindings[name]
    return id_reader(can_of(run.house, binding), binding.key)
