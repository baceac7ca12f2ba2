"""A plan and what came of its reads in, `extensions.onedoor.plan` out: for a question that asks how it is answered."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from auth.rules import Position, Rules
from engine.errors import Code, Fault, Refused
from engine.fetch.read import asks_of
from engine.fetch.settle import Settled
from engine.fetch.words import Fetching, Seen
from engine.plan.explain import Known, Ran, explain
from engine.plan.text import lines
from engine.plan.words import Carried, Plan, Read
from engine.source import Explains
from engine.weight import weight
from engine.words import Ask, Can, Kind, Row

SQL: Position = ("extensions.onedoor", "plan", "sql")
"""Who may see the statements of a plan: judged as every position is, shut where `server.sql_shown_to` names nobody."""
SAMPLES: Mapping[Kind, tuple[Any, Any]] = {
    Kind.TEXT: ("a", "b"),
    Kind.INTEGER: (1, 2),
    Kind.FLOAT: (1.0, 2.0),
    Kind.DECIMAL: (Decimal(1), Decimal(2)),
    Kind.BOOLEAN: (False, True),
    Kind.DATE: (date(2000, 1, 1), date(2000, 1, 2)),
    Kind.TIME: (datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 1, 2, tzinfo=UTC)),
}
"""Keys to write a statement for before any is known; a statement names none of its values."""


def opening_sql(rules: Rules, groups: Sequence[str]) -> Rules:
    """The rules, by which a plan shows its statements to these groups; to nobody where there are none."""
    opened = {SQL: (frozenset(groups),)} if groups else {}
    return replace(rules, requirements={**rules.requirements, **opened})


class Wish(StrEnum):
    """How a question wants its plan."""

    WITH = "WITH"
    """With the answer."""
    ONLY = "ONLY"
    """In place of the answer: nothing is read."""


WISHES: Mapping[Any, Wish | None] = {None: None, False: None, True: Wish.WITH, "ONLY": Wish.ONLY}


def wish(options: Mapping[str, Any]) -> Wish | None:
    given = options.get("plan")
    if not isinstance(given, bool | str | None) or given not in WISHES:
        message = '`extensions.onedoor.plan` is `true`, for the plan beside the answer, or `"ONLY"`, in its place'
        raise Refused(Fault(code=Code.BAD_USER_INPUT, message=message))
    return WISHES[given]


def explained(plan: Plan, run: Fetching, *, sql: bool) -> dict[str, Any]:
    """`run` may have ended, stopped halfway, or not begun; `sql` where the caller may see the statements."""
    came: dict[int, Carried] = {id(keys): each for each, keys in run.carried.items() if isinstance(keys, frozenset)}
    made = explain(
        plan,
        Known(
            source=run.source,
            ran=_ran(run, sql),
            beside=run.beside,
            came=came,
            over=run.seen is not None,
            sql=_planned(run) if sql else lambda read: (),
            fresh=lambda wanted: run.guards[wanted.source].fresh(wanted.collection),
        ),
    )
    return {"text": lines(made), "branches": [plain(each) for each in made]}


def _ran(run: Fetching, sql: bool) -> dict[int, Ran]:
    """By id of what was wanted; reads for several others are told as one."""
    found: dict[int, list[Seen]] = {}
    for each in run.seen or ():
        found.setdefault(id(each.wanted), []).append(each)
    return {wanted: _summed(run, reads, sql) for wanted, reads in found.items()}


def _summed(run: Fetching, reads: Sequence[Seen], sql: bool) -> Ran:
    statements = [_statement(run, each.read, each.asks[0]) for each in reads if sql and each.asks]
    calls = [each.call for each in reads]
    kept = [each.at for each in calls if each.cached and each.at]
    return Ran(
        read=reads[0].read,
        spread=reads[0].spread,
        calls=sum(each.calls for each in calls),
        cached=sum(each.cached for each in calls),
        at=min(kept).isoformat(timespec="seconds") if kept else None,
        keys=sum(len(ask.keys.values) for each in reads for ask in each.asks if ask.keys is not None),
        rows=sum(len(each.rows) + (each.overflow.poured if each.overflow else 0) for each in reads),
        outgrown=sum(each.outgrown for each in calls),
        bytes=sum(weight(each.rows) + (each.overflow.bytes if each.overflow else 0) for each in reads),
        ms=round(sum(each.ms for each in calls), 3),
        failed=next((each.failed for each in calls if each.failed), None),
        sql=tuple(dict.fromkeys(each for each in statements if each is not None)),
    )


def _planned(run: Fetching) -> Callable[[Read], tuple[str, ...]]:
    """The statement of a read that was not asked; none where keys from elsewhere are still to decide it."""

    def statements(read: Read) -> tuple[str, ...]:
        if read.open:
            return ()
        can = run.source(read.wanted.source).can(read.wanted.collection)
        asks = asks_of(run, Settled(read=read), samples(can, read.wanted.keyed) if read.batch else None)
        found = _statement(run, read, next(asks))
        return () if found is None else (found,)

    return statements


def _statement(run: Fetching, read: Read, ask: Ask) -> str | None:
    source = run.source(read.wanted.source)
    return source.text(ask) if isinstance(source, Explains) else None


def samples(can: Can, columns: Sequence[str]) -> tuple[Row, ...]:
    return tuple(zip(*(SAMPLES[can.columns[each].kind] for each in columns), strict=True))


def plain(value: Any) -> Any:
    """As JSON has it; what says nothing is left out."""
    if is_dataclass(value):
        return {name: each for name, each in _filled(value) if each not in (None, False, []) or name in KEPT}
    return [plain(each) for each in value] if isinstance(value, tuple) else value


KEPT = frozenset({"reads", "branches", "steps"})
"""Shown though they are empty."""
HIDDEN = frozenset({"read", "spread"})


def _filled(value: Any) -> Iterator[tuple[str, Any]]:
    shown = (each.name for each in fields(value) if each.name not in HIDDEN)
    return ((name, plain(getattr(value, name))) for name in shown)
