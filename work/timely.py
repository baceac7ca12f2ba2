"""Schedules and a time in, the starts that are due out: each has one id, however many processes come to it."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from croniter import croniter

from work.declared import Job
from work.persons import service
from work.words import Start


def due(jobs: Mapping[str, Job], after: datetime, until: datetime) -> Iterator[Start]:
    """The last time of each schedule that came after `after`: of several that were missed, one."""
    for job in jobs.values():
        if job.schedule is None:
            continue
        at = croniter(job.schedule.cron, until).get_prev(datetime)
        exact = croniter.match(job.schedule.cron, until) and until.second == until.microsecond == 0
        at = until if exact else at
        if after < at <= until:
            yield Start(
                job=job.name,
                caller=service(job.schedule),
                input=job.schedule.input,
                key=f"schedule {at.isoformat()} {job.name}",
                reason=f"on schedule, for {at.isoformat()}",
            )
