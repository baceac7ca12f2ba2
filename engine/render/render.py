"""Picks, rows and verdicts in, the reply's data and its faults out.

Each pick becomes a function from a row to a value. A null in a place that is never null travels up to the nearest
place that may be null, as the specification says (section 6.4.4).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from engine.bind import Bound
from engine.errors import Fault, SourceFailed
from engine.faults import Faults, forbidden, unavailable
from engine.fetch import Fetched, Results
from engine.house import House
from engine.permit import Verdicts
from engine.plan.words import Plan
from engine.render.objects import object_
from engine.render.words import NULL, Rendering
from engine.select import Pick


def render(
    house: House, picks: Sequence[Pick], verdicts: Verdicts, plan: Plan, results: Results, values: Bound
) -> tuple[dict[str, Any] | None, Faults]:
    """The data of the reply; None when a null reached the top."""
    run = Rendering(house=house, verdicts=verdicts, results=results, values=values, faults=Faults())
    data = object_(run, picks, {each.pick.number: each for each in plan.branches}, ())((), None)
    return (None if data is NULL else data), run.faults


def faults(house: House, picks: Sequence[Pick], verdicts: Verdicts, results: Results, noted: Faults) -> list[Fault]:
    """One fault for each pick that showed null where it was withheld or its source failed."""
    numbered = by_number(picks)
    denied = [
        forbidden(house.rules, numbered[number], verdicts[number], nulls) for number, nulls in noted.withheld.items()
    ]
    failed = [unavailable(_failure(results, numbered, number), nulls) for number, nulls in noted.failed.items()]
    return [*denied, *failed, *noted.broken]


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
    """Why the pick is null: its branch failed, or, of a `totalCount`, the counting of its branch."""
    result = results.get(number)
    if isinstance(result, SourceFailed):
        return result
    counted = next(
        each for key, each in results.items() if isinstance(each, Fetched) and number in _numbers(numbered[key])
    )
    assert isinstance(counted.counts, SourceFailed)
    return counted.counts


def _numbers(pick: Pick) -> set[int]:
    return {each.number for each in pick.below}
