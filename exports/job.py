"""An export as a job: its declaration, and the mutation that starts it once the question was judged."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from auth.caller import Caller
from auth.callers import look_up, opens
from auth.groups import EVERYONE
from engine.act import Act, Acted, Action
from engine.errors import Code, Refused, SourceFailed
from exports.clerk import Clerk
from exports.export import Exporting, export
from exports.start import judge, start
from exports.words import Format, Result, State, Stated, Store, Wish
from work import actions
from work.context import Context
from work.declared import Job, Retries
from work.kinds import described
from work.starting import Starting
from work.words import Failure, Refusal

EXPORT, SHARE = "Export", "ExportShare"
SHARES = 3
"""Workers that an export in several ranges asks for, beside the one that runs it."""
DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportInput:
    """A question, and how its rows are written."""

    query: str = described("The question: one list at its root.", label="query")
    variables: Mapping[str, Any] | None = described("Its variables.", default=None, label="variables")
    operation_name: str | None = described(
        "Which operation of the document, where it has several.", default=None, label="operationName"
    )
    format: Format = described("What the files are.", label="format", kind="Format")
    all_or_nothing: bool = described("Refused where any of it is withheld.", default=False, label="allOrNothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What came of it."""

    rows: int = described("How many rows there are in all files.", label="rows")
    files: tuple[str, ...] = described(
        "Where each file is downloaded, with the key of who started the export.", label="files"
    )
    left_out: tuple[str, ...] = described(
        "What was asked for and is in no file, each with its reason.", label="leftOut"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareInput:
    """Which export is shared."""

    export: str = described("Its id.", label="export")


@dataclass(frozen=True, slots=True, kw_only=True)
class Works:
    """A job as an export knows it."""

    context: Context

    async def caller(self) -> Caller | None:
        """Who started it, while their key opens the door, too; a schedule has none."""
        try:
            caller = await self.context.caller()
        except Refusal:
            return None
        key = self.context.run.key_id
        found = await self.context.shelf.do(look_up, key) if key else None
        shut = key and (found is None or not opens(found, self.context.shelf.state.now()))
        return None if shut else caller

    def cancelled(self) -> bool:
        """A job is cancelled where it waits; one that moves to another worker goes on there."""
        return False

    async def progress(self, rows: int, of: int | None) -> None:
        self.context.progress(rows, of)


def declared(store: Store, kept_days: float = 30.0) -> tuple[Job, ...]:
    """Everybody may export what they may ask; a share of an export is started by the export alone."""

    async def run(context: Context, given: ExportInput) -> Exported:
        await asyncio.to_thread(store.forget, context.shelf.state.now() - timedelta(days=kept_days))
        try:
            stated = await start(_clerk(context), store, await context.caller(), context.id, wish(given))
        except Refused as refusal:
            raise _failure(refusal) from None
        shares = range(min(SHARES, len(stated.ranges) - 1))
        begun = [await context.part(SHARE, ShareInput(export=stated.id), str(number)) for number in shares]
        made = await _export(context, stated)
        await context.parts(begun)
        return _exported(made)

    async def share(context: Context, given: ShareInput) -> None:
        stated = store.stated(given.export) if given.export == context.run.parent else None
        if stated is None:
            raise Failure("there is no such export", again=False)
        await _export(context, stated)

    async def _export(context: Context, stated: Stated) -> Result:
        return await export(Exporting(clerk=_clerk(context), store=store, work=Works(context=context), stated=stated))

    everyone, nobody = frozenset({EVERYONE}), frozenset[str]()
    again, listed = Retries(times=5, first_seconds=1.0), False
    return (
        Job(name=EXPORT, description="Any question's rows, as files.", owner=EVERYONE, starts=everyone, sees=nobody,
            input=ExportInput, result=Exported, run=run, timeout_seconds=DAY_SECONDS, retries=again, listed=listed),
        Job(name=SHARE, description="Ranges of an export's rows.", owner=EVERYONE, starts=everyone, sees=nobody,
            input=ShareInput, run=share, timeout_seconds=DAY_SECONDS, retries=again, listed=listed),
    )  # fmt: skip


def export_query(starting: Starting, clerk: Clerk) -> Action:
    """`exportQuery(input: {query, variables, operationName, format, allOrNothing, idempotencyKey, reason})`.

    What cannot be exported is refused here, before there is a job.
    """
    begin = actions.start(starting, EXPORT)

    async def action(act: Act) -> Acted:
        given = act.arguments["input"]
        try:
            await judge(clerk, act.caller, _asked(given))
        except Refused as refusal:
            raise SourceFailed(refusal.faults[0].message, refusal.faults[0].code) from None
        return await begin(act)

    return action


def wish(given: ExportInput) -> Wish:
    return Wish(
        text=given.query,
        variables=given.variables or {},
        operation=given.operation_name,
        format=given.format,
        all_or_nothing=given.all_or_nothing,
    )


def _asked(given: Mapping[str, Any]) -> Wish:
    return Wish(
        text=given["query"],
        variables=given.get("variables") or {},
        operation=given.get("operationName"),
        format=Format(given["format"]),
        all_or_nothing=bool(given.get("allOrNothing")),
    )


def _clerk(context: Context) -> Clerk:
    asking = context.asking
    return Clerk(desk=asking.desk, journal=asking.journal, records_key=asking.records_key)


def _failure(refusal: Refused) -> Exception:
    first = refusal.faults[0]
    return Refusal(first.message) if first.code is Code.FORBIDDEN else Failure(first.message, again=False)


def _exported(made: Result) -> Exported:
    if made.state is State.REFUSED:
        raise Refusal(made.reason or "it is refused")
    if made.state is not State.DONE:
        raise Failure(made.reason or "it failed", again=False)
    return Exported(
        rows=made.rows,
        files=tuple(f"/exports/{made.id}/{each.name}" for each in made.files),
        left_out=tuple(f"{each.name}: {each.reason}" for each in made.left_out),
    )
