"""Declarations in, the jobs of a house by name out; and what tells one declaration from another."""

import hashlib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from croniter import croniter

from auth.groups import NAMES
from auth.groups import registered as known
from auth.mistake import Mistake, unknown
from work.declared import Job, Script
from work.kinds import Field, Misfit, fields_of, plain


def registered(jobs: Iterable[Job]) -> Mapping[str, Job]:
    """Raises Mistake, naming the job, at the first declaration that cannot stand."""
    found: dict[str, Job] = {}
    for each in jobs:
        for complaint in (*_complaints(each), *(("is declared twice",) if each.name in found else ())):
            raise Mistake(f"the job `{each.name}` {complaint}")
        found[each.name] = each
    return found


def _complaints(job: Job) -> Iterable[str]:
    if not (job.name.isidentifier() and job.name.isascii() and job.name[0].isupper()):
        yield "must be named as a type is, such as `RebuildInvoices`"
    for group in (job.owner, *job.starts, *job.sees, *(job.schedule.groups if job.schedule else ())):
        if not known(group):
            raise unknown("group", group, sorted(NAMES))
    if not job.starts:
        yield "may be started by nobody: name the groups that may"
    if isinstance(job.run, Script) and not job.run.path.is_file():
        yield f"runs `{job.run.path.name}`, which is not there"
    if not isinstance(job.run, Script) and not inspect.iscoroutinefunction(job.run):
        yield "must be an `async` function, or a script"
    try:
        fields_of(job.input), fields_of(job.result or job.input)
    except TypeError as reason:
        yield f"cannot be declared: {reason}"
    yield from _untimely(job)


def _untimely(job: Job) -> Iterable[str]:
    if job.schedule is None:
        return
    if not croniter.is_valid(job.schedule.cron):
        yield f"has the schedule `{job.schedule.cron}`, which is none: write five fields as cron has them"
    if not job.schedule.groups & job.starts:
        yield f"is started on a schedule by `{job.schedule.person}`, who is in no group that may start it"
    try:
        plain(job.schedule.input)
    except (Misfit, TypeError) as reason:
        yield f"is started on a schedule with an input that does not fit: {reason}"


def version(job: Job) -> str:
    """Of a declaration: a run that began under another one with the same version may go on under this one."""
    shapes = [[_shape(each) for each in fields_of(of)] if of else None for of in (job.input, job.result)]
    return hashlib.sha256(f"{job.name} {shapes}".encode()).hexdigest()


def release(jobs: Mapping[str, Job]) -> str:
    """Of all declarations: workers of one release run the same jobs."""
    return hashlib.sha256(" ".join(sorted(map(version, jobs.values()))).encode()).hexdigest()


def _shape(field: Field) -> tuple[Any, ...]:
    return field.label, field.kind_name, field.many, field.optional
