"""What mutations do about jobs: each declared job started, any of them by name, and one cancelled."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.act import Act, Acted, Action
from engine.errors import Code, SourceFailed
from work.declared import Job
from work.kinds import Field, Misfit, fields_of, made
from work.starting import Starting
from work.words import Start

KEY, REASON = "idempotencyKey", "reason"
OURS = (KEY, REASON)
"""What every mutation that starts a job takes beside the job's own input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A job as a mutation is made of it: `startRebuildInvoices`, who may call it, and what its input object holds."""

    name: str
    mutation: str
    description: str
    owner: str
    groups: frozenset[str]
    fields: tuple[Field, ...]
    result: tuple[Field, ...]


def listed(jobs: Mapping[str, Job]) -> tuple[Listed, ...]:
    """Those that have a mutation of their own, by name."""
    return tuple(
        Listed(
            name=each.name,
            mutation=f"start{each.name}",
            description=each.description,
            owner=each.owner,
            groups=each.starts,
            fields=fields_of(each.input),
            result=fields_of(each.result) if each.result is not None else (),
        )
        for _, each in sorted(jobs.items())
        if each.listed
    )


def start(starting: Starting, name: str) -> Action:
    """`startRebuildInvoices(input: {...})`: the job's own fields, and `idempotencyKey` and `reason`."""

    async def action(act: Act) -> Acted:
        given = act.arguments.get("input") or {}
        own = {label: value for label, value in given.items() if label not in OURS}
        return await _started(starting, act, name, own)

    return action


def start_any(starting: Starting) -> Action:
    """`startJob(input: {name, input, idempotencyKey, reason})`: its input as JSON."""

    async def action(act: Act) -> Acted:
        given = act.arguments["input"]
        return await _started(starting, act, given["name"], given.get("input") or {})

    return action


def cancel(starting: Starting) -> Action:
    """`cancelJob(input: {id})`; one that has ended stays as it is."""

    async def action(act: Act) -> Acted:
        id = str(act.arguments["input"]["id"])
        await starting.cancel(act.caller, id)
        return Acted(id=id, noted={"cancelled": id})

    return action


async def _started(starting: Starting, act: Act, name: str, own: Mapping[str, Any]) -> Acted:
    job = starting.jobs.get(name)
    if job is None:
        raise SourceFailed(f"there is no job `{name[:100]}`", Code.NOT_FOUND)
    try:
        given = made(job.input, own)
    except Misfit as reason:
        raise SourceFailed(f"the input does not fit: {reason}", Code.BAD_USER_INPUT) from None
    said = act.arguments.get("input") or {}
    id = await starting.start(
        Start(
            job=name, caller=act.caller, input=given, key=said.get(KEY), reason=said.get(REASON), record=act.record
        )
    )  # fmt: skip
    return Acted(id=id, noted={"job": id})
