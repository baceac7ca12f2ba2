"""Who started a job in, the caller they are now out: what they may do is judged whenever the job does something."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from auth import people
from auth.caller import Caller
from auth.groups import EVERYONE
from auth.state import State
from work.declared import Job, Schedule
from work.words import Refusal, Run

SERVICE = "service:"
"""What the id of a service person begins with; a person's own never holds a colon."""
LONG = timedelta(days=1)


def caller_of(state: State, jobs: Mapping[str, Job], run: Run) -> Caller:
    """Raises Refusal where they may not run it any more. It blocks."""
    job = jobs[run.name]
    caller = _service(jobs, run) if run.person_id.startswith(SERVICE) else _person(state, run)
    if not caller.groups & job.starts:
        groups = ", ".join(f"`{each}`" for each in sorted(job.starts))
        raise Refusal(f"who started it is in none of the groups that may: {groups}")
    return caller


def _person(state: State, run: Run) -> Caller:
    found = people.by_id(state, run.person_id)
    if found is None or found.deactivated_at is not None:
        raise Refusal("who started it is shut out")
    return Caller(
        person_id=found.id, first_name=found.first_name, last_name=found.last_name, email=found.email,
        groups=frozenset(found.groups), grants=(), key_id=run.key_id or "",
        key_created=run.created_at, key_expires=state.now() + LONG,
    )  # fmt: skip


def _service(jobs: Mapping[str, Job], run: Run) -> Caller:
    """In the groups that are declared now, of any schedule this person starts."""
    named = run.person_id.removeprefix(SERVICE)
    own = [each.schedule for each in jobs.values() if each.schedule is not None and each.schedule.person == named]
    if not own:
        raise Refusal(f"no schedule has the service person `{named}` any more")
    groups = frozenset({EVERYONE}).union(*(each.groups for each in own))
    return _serving(named, groups, run.created_at)


def service(schedule: Schedule) -> Caller:
    """The person a schedule starts its job as."""
    return _serving(schedule.person, schedule.groups | {EVERYONE}, datetime.now(UTC))


def _serving(named: str, groups: frozenset[str], since: datetime) -> Caller:
    return Caller(
        person_id=f"{SERVICE}{named}", first_name=named, last_name="", email="", groups=groups, grants=(),
        key_id="", key_created=since, key_expires=since + LONG,
    )  # fmt: skip
