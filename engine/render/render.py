"""Picks, rows and verdicts in, the reply's data and its faults out.

All rows of a level are made at once where nothing is withheld and nothing went wrong. Otherwise each pick becomes a
function from a row to a value: a null in a place that is never null travels up to the nearest place that may be
null, as the specification says (section 6.4.4).
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from engine.bind import Bound
from engine.errors import Fault, SourceFailed
from engine.faults import Faults, forbidden, forbidden_rows, may_tell, unavailable, unavailable_rows
from engine.fetch.words import Fetched, Results
from engine.house import House
from engine.permit import Verdicts
from engine.plan.words import Plan
from engine.render.columns import Unusual
from engine.render.levels import Levels, data, levels
from engine.render.objects import object_
from engine.render.words import NULL, Rendering
from engine.select import Pick


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a reply is made of, whatever the rows."""

    picks: tuple[Pick, ...]
    verdicts: Verdicts
    plan: Plan
    levels: Levels | None


def shown(picks: Sequence[Pick], verdicts: Verdicts, plan: Plan) -> Shown:
    return Shown(picks=tuple(picks), verdicts=verdicts, plan=plan, levels=levels(picks, verdicts, plan))


def render(house: House, of: Shown, results: Results, values: Bound) -> tuple[dict[str, Any] | None, Faults]:
    """The data of the reply, None when a null reached the top; days and times in it may be Python's own."""
    run = Rendering(house=house, verdicts=of.verdicts, results=results, values=values, faults=Faults())
    if of.levels is not None:
        with suppress(Unusual):
            return data(run, of.levels), run.faults
        run = replace(run, faults=Faults())
    made = object_(run, of.picks, {each.pick.number: each for each in of.plan.branches}, ())((), None)
    return (None if made is NULL else made), run.faults


def faults(house: House, picks: Sequence[Pick], verdicts: Verdicts, results: Results, noted: Faults) -> list[Fault]:
    """One fault for each pick that showed null where it was withheld or its source failed.

    And one for each concrete type whose rows a list of an interface lacks; to who may not know of the type, none.
    """
    numbered = by_number(picks)
    denied = [
        forbidden(house.rules, numbered[number], verdicts[number], nulls) for number, nulls in noted.withheld.items()
    ]
    failed = [unavailable(_failure(results, numbered, number), nulls) for number, nulls in noted.failed.items()]
    shut = (
        forbidden_rows(house.rules, kind, verdicts[number, kind], place)
        for (number, kind), place in noted.shut.items()
        if may_tell(house, kind, verdicts[number, kind])
    )
    lost = (unavailable_rows(_lost(results[number], kind), kind, place) for (number, kind), place in noted.lost.items())
    return [*denied, *failed, *shut, *lost, *noted.broken]


def _lost(result: Fetched | SourceFailed, kind: str) -> SourceFailed:
    return result.lost[kind] if isinstance(result, Fetched) else result


def by_number(picks: Sequence[Pick]) -> dict[int, Pick]:
    """Every pick at any depth, in the order they were asked for."""
    found: dict[int, Pick] = {}
    waiting = list(picks)
    while waiting:
        pick = waiting.pop()
        found[pick.number] = pick
        waiting.extend(each for below in pick.picks.values() for each in below)
    return dict(sorted(found.items()))


def _failure(results: Results, numbered: Mapping[int, Pick], number: int) -> SourceFailed:
    """Why the pick is null: its branch failed, or, of what is counted or grouped beside rows, that read."""
    result = results.get(number)
    if isinstance(result, SourceFailed):
        return result
    beside = (
        found
        for key, each in results.items()
        if isinstance(each, Fetched) and any(inner.number == number for inner in numbered[key].below)
        for found in (each.groupings.get(number), each.tally)
    )
    return next(each for each in beside if isinstance(each, SourceFailed))
