"""What went wrong inside an answer: one fault per pick, however many rows it concerns."""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from auth.decide import Verdict
from auth.rules import Rules
from engine.errors import Code, Fault, SourceFailed
from engine.select import Pick

Path: TypeAlias = tuple[Any, str | int] | None
"""A place in the reply, as (the place above, the step), innermost last; None is the top."""


@dataclass(slots=True)
class Nulls:
    """Where a pick first showed null, and how often."""

    path: Path
    times: int = 0


@dataclass(slots=True)
class Faults:
    """The nulls of one answer, by what caused them; noted while it is rendered."""

    withheld: dict[int, Nulls] = field(default_factory=dict)
    failed: dict[int, Nulls] = field(default_factory=dict)
    broken: list[Fault] = field(default_factory=list)

    @property
    def any(self) -> bool:
        return bool(self.withheld or self.failed or self.broken)

    def withhold(self, pick: Pick, path: Path) -> None:
        note(self.withheld, pick, (path, pick.key))

    def fail(self, pick: Pick, path: Path) -> None:
        note(self.failed, pick, (path, pick.key))

    def broke(self, pick: Pick, path: Path, code: Code, message: str) -> None:
        self.broken.append(Fault(code=code, message=message, path=steps((path, pick.key))))


def note(nulls: dict[int, Nulls], pick: Pick, place: Path) -> None:
    nulls.setdefault(pick.number, Nulls(place)).times += 1


def steps(path: Path) -> tuple[str | int, ...]:
    """The place as GraphQL writes it, outermost first."""
    found: list[str | int] = []
    while path is not None:
        path, step = path
        found.append(step)
    return tuple(reversed(found))


def forbidden(rules: Rules, pick: Pick, verdict: Verdict, nulls: Nulls | None) -> Fault:
    """Says what was withheld, which groups would do, who answers for it, and how to ask."""
    named = ".".join(verdict.position)
    unmet = [sorted(each) for each in verdict.unmet or ()]
    would_do = ", and for ".join(" or ".join(each) for each in unmet) or "no group"
    owner = rules.owners.get(verdict.position) or rules.owners.get((pick.type, pick.field))
    asking = f"; ask {owner} for it" if owner else ""
    return Fault(
        code=Code.FORBIDDEN,
        message=f"`{named}` is for {would_do}{asking}",
        path=steps(nulls.path) if nulls else None,
        extensions={
            "position": named,
            "groups": unmet,
            **({"owner": owner} if owner else {}),
            **({"nulls": nulls.times} if nulls else {}),
        },
    )


def unavailable(failure: SourceFailed, nulls: Nulls) -> Fault:
    return Fault(code=failure.code, message=failure.reason, path=steps(nulls.path), extensions={"nulls": nulls.times})
