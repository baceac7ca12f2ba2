"""A plan and the sizes asked for in, its cost out: one for each object that can be returned, by its source's weight.

cost(branch) = rows x weight + rows x the cost of each branch below + groups, where rows is `first` or `last` of a
list, its default where neither is given, 1 of a single row, and of entities as many as are represented; groups as
many as their `first` lets in. An interface costs what its concrete types do, as each is asked for a page. A question
never returns more rows than it costs at weight 1.
"""

from collections.abc import Mapping
from typing import Any

from engine.entities import given, of_type
from engine.errors import Code, Fault, Refused
from engine.house import House
from engine.names import can_of
from engine.plan.words import Branch, Plan
from engine.slots import filled

MOST = 10**15


def cost(house: House, plan: Plan, variables: Mapping[str, Any]) -> int:
    """Raises Refused past `limits.cost_max`."""
    total = min(MOST, sum(_of(house, each, variables) for each in plan.branches))
    if total > house.limits.cost_max:
        limit = f"the limit `cost_max` of {house.limits.cost_max}"
        message = f"the question may return {total} objects, over {limit}: ask for fewer with `first`, or in parts"
        raise Refused(Fault(code=Code.LIMIT_EXCEEDED, message=message))
    return total


def _of(house: House, branch: Branch, variables: Mapping[str, Any]) -> int:
    if branch.meant:
        return min(MOST, sum(_of(house, each, variables) for each in branch.members))
    rows = _rows(branch, variables)
    weight = _weight(house, branch)
    below = sum(_of(house, each, variables) for each in branch.branches)
    groups = sum(_groups(house, each.first, variables) for each in branch.groupings)
    return min(MOST, rows * (weight + below) + groups)


def _weight(house: House, branch: Branch) -> int:
    if branch.column is not None:
        assert branch.rows is not None
        wanted = branch.rows.wanted
        return house.sources[wanted.source].can(wanted.collection).weight
    return can_of(house, house.bindings[branch.type]).weight


def _groups(house: House, first: Any, variables: Mapping[str, Any]) -> int:
    size: int = house.limits.first_max if first is None else filled(first, variables)
    return size


def _rows(branch: Branch, variables: Mapping[str, Any]) -> int:
    if branch.representations is not None:
        return sum(1 for _ in of_type(given(branch.representations, variables), branch.type))
    if branch.page is None:
        return 1
    size: int = filled(branch.page.first if branch.page.last is None else branch.page.last, variables)
    return size if branch.rows is not None else 1
