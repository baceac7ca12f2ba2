"""What went wrong inside an answer: one fault per pick, however many rows it concerns."""

from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from auth.decide import Verdict
from auth.rules import Position, Rules
from engine.errors import Code, Fault, SourceFailed
from engine.house import House
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
    shut: dict[tuple[int, str], Path] = field(default_factory=dict)
    """By pick that leads to an interface and concrete type, the first place that lacks rows which may not be shown."""
    lost: dict[tuple[int, str], Path] = field(default_factory=dict)
    """And the first that lacks rows whose source failed."""

    @property
    def any(self) -> bool:
        return bool(self.withheld or self.failed or self.broken or self.shut or self.lost)

    def withhold(self, pick: Pick, path: Path) -> None:
        note(self.withheld, pick, (path, pick.key))

    def fail(self, pick: Pick, path: Path) -> None:
        note(self.failed, pick, (path, pick.key))

    def shut_out(self, pick: Pick, kind: str, place: Path) -> None:
        self.shut.setdefault((pick.number, kind), place)

    def lose(self, pick: Pick, kind: str, place: Path) -> None:
        self.lost.setdefault((pick.number, kind), place)

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
    return _forbidden(rules, (pick.type, pick.field), verdict, nulls)


def may_tell(house: House, kind: str, verdict: Verdict) -> bool:
    """Whether to name a concrete type: who sees only what is their own does not know of one they may not see."""
    return house.view is None or verdict.position != (kind,)


def forbidden_rows(rules: Rules, kind: str, verdict: Verdict, place: Path) -> Fault:
    """Says which concrete type's rows a list lacks, or a single row was not looked for among."""
    made = _forbidden(rules, (kind,), verdict, None)
    return replace(made, path=steps(place) if place else None, message=f"rows of `{kind}` are left out: {made.message}")


def _forbidden(rules: Rules, near: Position, verdict: Verdict, nulls: Nulls | None) -> Fault:
    named = ".".join(verdict.position)
    unmet = [sorted(each) for each in verdict.unmet or ()]
    would_do = ", and for ".join(" or ".join(each) for each in unmet) or "no group"
    owner = rules.owners.get(verdict.position) or rules.owners.get(near)
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


def unavailable_rows(failure: SourceFailed, kind: str, place: Path) -> Fault:
    message = f"rows of `{kind}` are missing: {failure.reason}"
    return Fault(code=failure.code, message=message, path=steps(place), extensions={"missing": kind})
