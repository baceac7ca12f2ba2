"""Check declared jobs, index them by name and compute the versions that tell one declaration from another."""

import hashlib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from croniter import croniter

from auth.groups import Groups
from onedoor.errors import ConfigurationError
from onedoor.jobs.codecs import InvalidJobValue, JobField, dump_instance, list_job_fields
from onedoor.jobs.declarations import Job, Script


def register_jobs(jobs: Iterable[Job], groups: Groups) -> Mapping[str, Job]:
    """Return the jobs by name. Raises ConfigurationError, which names the job, at the first wrong declaration."""
    registered: dict[str, Job] = {}
    for job in jobs:
        duplicate = ("is declared twice",) if job.name in registered else ()
        for problem in (*_find_job_problems(job, groups), *duplicate):
            raise ConfigurationError(f"the job `{job.name}` {problem}")
        registered[job.name] = job
    return registered


def _find_job_problems(job: Job, groups: Groups) -> Iterable[str]:
    if not (job.name.isidentifier() and job.name.isascii() and job.name[0].isupper()):
        yield "must be named as a type is, such as `RebuildInvoices`"
    for group in (job.owner, *job.may_start, *job.may_see, *(job.schedule.groups if job.schedule else ())):
        groups.require(group)
    if not job.may_start:
        yield "may be started by nobody: name the groups that may"
    if isinstance(job.run, Script) and not job.run.path.is_file():
        yield f"runs `{job.run.path.name}`, which is not there"
    if not isinstance(job.run, Script) and not inspect.iscoroutinefunction(job.run):
        yield "must be an `async` function, or a script"
    try:
        list_job_fields(job.input), list_job_fields(job.result or job.input)
    except TypeError as reason:
        yield f"cannot be declared: {reason}"
    yield from _find_schedule_problems(job)


def _find_schedule_problems(job: Job) -> Iterable[str]:
    if job.schedule is None:
        return
    if not croniter.is_valid(job.schedule.cron):
        yield f"has the schedule `{job.schedule.cron}`, which is none: write five fields as cron has them"
    if not job.schedule.groups & job.may_start:
        yield f"is started on a schedule by `{job.schedule.service_account}`, who is in no group that may start it"
    try:
        dump_instance(job.schedule.input)
    except (InvalidJobValue, TypeError) as reason:
        yield f"is started on a schedule with an input that does not fit: {reason}"


def compute_job_version(job: Job) -> str:
    """Return the version of a declaration: a run may go on under any declaration of the same version."""
    models = (job.input, job.result)
    shapes = [[_describe_shape(field) for field in list_job_fields(model)] if model else None for model in models]
    return hashlib.sha256(f"{job.name} {shapes}".encode()).hexdigest()


def compute_release(jobs: Mapping[str, Job]) -> str:
    """Return the version of all declarations together: workers of one release run the same jobs."""
    return hashlib.sha256(" ".join(sorted(map(compute_job_version, jobs.values()))).encode()).hexdigest()


def _describe_shape(field: JobField) -> tuple[Any, ...]:
    return field.label, field.kind_name, field.is_list, field.optional
