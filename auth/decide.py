"""The one decision: groups held and the rule of a position in, a verdict with its reason out.

Every position a value can show in is judged here: fields, arguments, filter paths, orders, cursors, introspection.
"""

from dataclasses import dataclass

from auth.rules import Position, Requirement, Rules


@dataclass(frozen=True, slots=True)
class Verdict:
    """`unmet` is empty when allowed; else each of its requirements lacks a group. None: nobody opened the position."""

    position: Position
    unmet: tuple[Requirement, ...] | None

    @property
    def allowed(self) -> bool:
        return self.unmet == ()


def decide(rules: Rules, position: Position, groups: frozenset[str]) -> Verdict:
    """Allowed when the position has a rule and every requirement of it names one of the groups.

    Laws: what nobody opened stays shut; more groups never see less; more requirements never show more.
    """
    requirements = rules.requirements.get(position)
    if not requirements:
        return Verdict(position, None)
    return Verdict(position, tuple(each for each in requirements if not each & groups))
