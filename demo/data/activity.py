"""Make up Acme's chat, its deployments on GitHub, and its monitoring."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from functools import cache
from typing import Any

from demo.data import business
from demo.data.business import DAYS, usage_day
from demo.data.operations import (
    ENVIRONMENTS,
    Deployment,
    Employee,
    ServiceTraffic,
    build_channel_id,
    build_slack_id,
    build_slack_ts,
    count_trouble_seconds,
    deployments,
    employees,
    list_traffic,
    pick_member,
)
from demo.data.random import NOW, ORDER_NOTES, SERVICES, draw, pick, size, slug, stream

CHAT_DAYS = 180

BOT_NAME = "deploybot"

BOT = build_slack_id("U", BOT_NAME)

OUTCOME_TEXTS = {
    "SUCCEEDED": "is in production :white_check_mark:",
    "FAILED": "failed :x:",
    "ROLLED_BACK": "was rolled back :leftwards_arrow_with_hook:",
}

GENERAL_TEXTS = (
    "Good morning, everyone",
    "The kitchen on floor {n} is closed today",
    "Welcome to our {n} new colleagues!",
    "Reminder: expenses are due on the {n}th",
    "Photos of the summer party are up, merci à tous",
    "All hands at {n}:30",
    "Who has the key to meeting room {n}?",
    "Lunch & learn: how {service} works",
)

INCIDENT_TEXTS = (
    "{service}: error rate above {n} %",
    "{service} is slow, p95 at {n}00 ms",
    "{service} paged the on-call",
    "Incident {n}: {service} lost its database connection",
    "{service}: disk {n} % full",
    "{service} recovered after {n} min",
)

CUSTOMER_TEXTS = (
    "They ask for a quote on {n} more licences",
    "Renewal call moved to the {n}th",
    "Delivery {n} arrived incomplete",
    "Invoice query: line {n} looks doubled",
    "They love the new {service} page",
    "Note from their buyer: {note}",
    "Escalation: {n} open tickets",
    "Contract signed :tada:",
    "Churn risk? Usage of {service} is down {n} %",
)

REPLY_TEXTS = (
    "Thanks, on it",
    "Done",
    "Can you share the details?",
    "+1",
    "I’ll call them tomorrow",
    "Looks fine on my side",
    "Rolled forward, watching {service}",
    "Fixed in {n} minutes",
    "Closing this, danke!",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A Slack user; a bot has no e-mail."""

    id: str
    name: str
    first_name: str
    last_name: str
    email: str | None
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A channel and the ids of its members."""

    id: str
    name: str
    topic: str
    created: datetime
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message; `thread` is the ts of the message it replies to, None in the channel itself."""

    channel: str
    ts: str
    user: str
    text: str
    thread: str | None = None


def users(scale: Fraction | float = 1) -> tuple[User, ...]:
    """Return a user for each employee, with the same e-mail address, and the bot that announces deployments."""
    bot = User(id=BOT, name=BOT_NAME, first_name="Deploy", last_name="Bot", email=None, title="")
    return (*map(build_user, employees(size("employee", scale))), bot)


def build_user(employee: Employee) -> User:
    number, first, last, email, title, *_ = employee
    return User(
        id=build_user_id(number),
        name=email.partition("@")[0],
        first_name=first,
        last_name=last,
        email=email,
        title=title,
    )


def build_user_id(employee: int) -> str:
    return build_slack_id("U", f"employee {employee}")


def channels(scale: Fraction | float = 1) -> tuple[Channel, ...]:
    """Return three channels for all, then `cust-<id>-<slug>` for each of the first large customers."""
    staff = employees(size("employee", scale))
    builders = tuple(build_user_id(row[0]) for row in staff if row[5] in ("Engineering", "Support"))
    return (
        build_shared_channel("general", "Company-wide", tuple(build_user_id(row[0]) for row in staff)),
        build_shared_channel("deployments", "What went live, and when", (*builders, BOT)),
        build_shared_channel("incidents", "Something is broken", builders),
        *build_customer_channels(scale),
    )


def build_shared_channel(name: str, topic: str, members: tuple[str, ...]) -> Channel:
    return Channel(
        id=build_channel_id(name), name=name, topic=topic, created=NOW - timedelta(days=2_000), members=members
    )


def build_customer_channels(scale: Fraction | float) -> Iterator[Channel]:
    whole = business.get_company_size(scale)
    large = range(business.LARGE_EVERY, whole.customers + 1, business.LARGE_EVERY)[: size("channel_customer", scale)]
    return (build_customer_channel(business.build_customer(number, whole), whole.staff) for number in large)


def build_customer_channel(customer: business.Customer, staff: int) -> Channel:
    number, name, *_, manager, _ = customer
    bits = draw(stream("channel"), number)
    helpers = [pick_member(("Support", "Sales")[turn % 2], bits >> 8 * turn, staff) for turn in range(5)]
    people = dict.fromkeys([*([] if manager is None else [manager]), *helpers])
    called = f"cust-{number}-{slug(name)}"[:80]
    return Channel(
        id=build_channel_id(f"cust-{number}"),
        name=called,
        topic=f"All about {name}",
        created=customer[6],
        members=tuple(map(build_user_id, people)),
    )


def messages(scale: Fraction | float = 1) -> list[Message]:
    """Return announcements of deployments, talk, and replies; threads have one to five replies, in turn."""
    staff = size("employee", scale)
    announced = [build_announcement(row) for row in deployments(size("deployment", scale), staff) if row[9] is not None]
    threads = size("thread", scale)
    talk_count = size("message", scale) - len(announced) - 3 * threads
    rooms = channels(scale)
    tops = announced + [build_talk(number, talk_count, rooms) for number in range(talk_count)]
    parents = [tops[number * len(tops) // threads] for number in range(threads)]
    members = {room.id: room.members for room in rooms}
    return tops + [
        build_reply(parent, number, turn, members[parent.channel])
        for number, parent in enumerate(parents)
        for turn in range(number % 5 + 1)
    ]


def build_announcement(deployment: Deployment) -> Message:
    """Build the message that the deployment's own `slack_channel_id` and `slack_ts` name."""
    number, service, version, _, status, _, _, _, sha, channel, ts = deployment
    text = f"Deployment {number}: {service} {version} ({sha[:7]}) {OUTCOME_TEXTS[status]}"
    return Message(channel=str(channel), ts=str(ts), user=BOT, text=text)


def build_talk(number: int, count: int, rooms: Sequence[Channel]) -> Message:
    """Build talk: a quarter general, a quarter about incidents, the rest about customers, most of it recent."""
    bits = draw(stream("talk"), number)
    general, _, incidents, *customers = rooms
    room, texts = pick(
        ((general, GENERAL_TEXTS), (incidents, INCIDENT_TEXTS), *[(pick(customers, bits >> 8), CUSTOMER_TEXTS)] * 2),
        bits,
    )
    back = (count - number) / count
    at = NOW - timedelta(days=1) - back * back * timedelta(days=CHAT_DAYS) + timedelta(seconds=bits % 900)
    return Message(
        channel=room.id,
        ts=build_slack_ts(at, 2_001 + number % 7_000),
        user=pick(room.members, bits >> 24),
        text=fill_text(texts, bits >> 32),
    )


def build_reply(parent: Message, number: int, turn: int, members: Sequence[str]) -> Message:
    bits = draw(stream("reply"), number * 8 + turn)
    seconds, micros = parent.ts.split(".")
    ts = f"{int(seconds) + 60 + 137 * turn + bits % 60}.{int(micros) + turn + 1:06d}"
    return Message(
        channel=parent.channel,
        ts=ts,
        user=pick(members, bits >> 8),
        text=fill_text(REPLY_TEXTS, bits >> 16),
        thread=parent.ts,
    )


def fill_text(texts: Sequence[str], bits: int) -> str:
    return pick(texts, bits).format(
        n=2 + (bits >> 8) % 27, service=pick(SERVICES, bits >> 16), note=pick(ORDER_NOTES, bits >> 24)
    )


ORGANIZATION = "acme"

REPOS_SINCE = NOW - timedelta(days=900)

FIRST_DEPLOYMENT, FIRST_RUN = 1_000_000, 5_000_000

JOBS = (("build", Fraction(1, 4)), ("test", Fraction(1, 2)), ("deploy", Fraction(1)))
"""Each with the part of the run after which it has ended."""

CRASH_AFTER = timedelta(hours=1)

CONCLUSIONS = {"SUCCEEDED": "success", "FAILED": "failure", "ROLLED_BACK": "success"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An employee as a user of GitHub."""

    id: int
    login: str
    name: str
    email: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repo:
    id: int
    name: str
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One moment of a deployment."""

    id: int
    state: str
    at: datetime
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A part of a run; the one that failed comes last, as those after it are skipped."""

    id: int
    name: str
    conclusion: str
    started: datetime
    ended: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A row of the internal table `deployment` with all that GitHub has of it: its statuses and its run."""

    id: int
    run: int
    number: int
    repo: str
    sha: str
    version: str
    environment: str
    creator: str
    approver: str | None
    started: datetime
    ended: datetime
    conclusion: str | None
    statuses: tuple[Status, ...]
    jobs: tuple[Job, ...]
    ref: str
    description: str
    task: str = "deploy"
    payload: Any = field(default_factory=dict)
    production: bool = False
    event: str = "workflow_dispatch"
    state: str = "completed"
    """Of its run."""
    word: str = "approved"
    """What the approver said, and how."""
    comment: str = ""


def build_login(email: str) -> str:
    """Return a user's handle, which follows from the e-mail address."""
    return email.partition("@")[0].replace(".", "-")


def accounts(scale: Fraction | float = 1) -> list[Account]:
    return [
        Account(id=row[0], login=build_login(row[3]), name=f"{row[1]} {row[2]}", email=row[3])
        for row in employees(size("employee", scale))
    ]


def repos() -> list[Repo]:
    return [
        Repo(id=500 + place, name=name, created=REPOS_SINCE + timedelta(days=place))
        for place, name in enumerate(SERVICES)
    ]


def rollouts(scale: Fraction | float = 1) -> Iterator[Rollout]:
    staff = employees(size("employee", scale))
    for deployment in deployments(size("deployment", scale), len(staff)):
        yield build_rollout(deployment, staff)


def build_rollout(deployment: Deployment, staff: Sequence[Employee]) -> Rollout:
    number, service, version, environment, status, author, started, finished, sha, *_ = deployment
    ended = finished or started + CRASH_AFTER
    conclusion = CONCLUSIONS[status] if finished else "timed_out"
    manager = staff[author - 1][6] or 1
    return Rollout(
        id=FIRST_DEPLOYMENT + number, run=FIRST_RUN + number, number=number, repo=service, sha=sha, version=version,
        environment=environment.lower(), creator=build_login(staff[author - 1][3]),
        approver=build_login(staff[manager - 1][3]) if environment == "PRODUCTION" else None,
        started=started, ended=ended, conclusion=conclusion,
        statuses=tuple(build_statuses(number, status, started, finished)),
        jobs=tuple(build_jobs(FIRST_RUN + number, conclusion, started, ended)), ref=f"v{version}",
        description=f"{service} {version}", production=environment == "PRODUCTION",
        comment=f"{version} may go out",
    )  # fmt: skip


def build_statuses(number: int, status: str, started: datetime, finished: datetime | None) -> Iterator[Status]:
    """Yield the statuses in order of time; a rollback succeeded first, and a crash never ended."""
    moments = [("queued", started, "Waiting for a runner"), ("in_progress", started + timedelta(seconds=9), "Started")]
    if finished is not None:
        moments.append(
            (CONCLUSIONS[status], finished, "Finished in time" if CONCLUSIONS[status] == "success" else "Checks failed")
        )
        if status == "ROLLED_BACK":
            moments.append(("inactive", finished + timedelta(minutes=20), "Rolled back"))
    for place, (state, at, said) in enumerate(moments):
        yield Status(id=number * 10 + place, state=state, at=at, said=said)


def build_jobs(run: int, conclusion: str, started: datetime, ended: datetime) -> Iterator[Job]:
    began = started
    for place, (name, part) in enumerate(JOBS):
        at = started + (ended - started) * float(part)
        at = at.replace(microsecond=0)
        last = place == len(JOBS) - 1
        yield Job(id=run * 10 + place, name=name, conclusion=conclusion if last else "success", started=began, ended=at)
        began = at


def write_log(rollout: Rollout, job: Job) -> str:
    """Return the log of a runner, a line for each step after its time."""
    said: Mapping[str, Sequence[str]] = {
        "build": (
            f"Checking out {ORGANIZATION}/{rollout.repo} at {rollout.sha}",
            f"Building {rollout.repo} {rollout.version}",
            "Built",
        ),
        "test": (f"Testing {rollout.repo} {rollout.version}", "412 passed", "Done"),
        "deploy": (f"Deploying {rollout.repo} {rollout.version} to {rollout.environment}", f"Ended: {job.conclusion}"),
    }
    lines = said[job.name]
    step = (job.ended - job.started) / len(lines)
    times = (job.started + step * place for place in range(len(lines)))
    return "".join(f"{moment:%Y-%m-%dT%H:%M:%S}.0000000Z {line}\n" for moment, line in zip(times, lines, strict=True))


MONITOR_STATUSES = {"FAILED": "Alert", "ROLLED_BACK": "Warn", "SUCCEEDED": "OK"}
"""How a service is where its last deployment ended so."""

WARN_BELOW_CALLS, ALERT_BELOW_CALLS = 600, 300
"""API calls on the last day, below which a customer is watched."""

LOG_DAYS = 14

LEVELS = ("info",) * 16 + ("warn",) * 3 + ("error",)

LOG_TEXTS = {
    "info": ("request of customer {customer} served in {ms} ms", "job {number} done", "cache warmed in {ms} ms"),
    "warn": ("request of customer {customer} took {ms}0 ms", "retry {number} of a call", "queue is {number} deep"),
    "error": ("request of customer {customer} failed", "connection to the database lost", "job {number} gave up"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    id: int
    name: str
    kind: str
    query: str
    status: str
    message: str
    tags: tuple[str, ...]
    created: datetime
    modified: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    id: str
    at: datetime
    title: str
    message: str
    status: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    id: str
    at: datetime
    service: str
    host: str
    status: str
    message: str
    tags: tuple[str, ...]


@cache
def list_deployments(scale: Fraction | float) -> tuple[Deployment, ...]:
    return tuple(deployments(size("deployment", scale), 1000))


def monitors(scale: Fraction | float = 1) -> list[Monitor]:
    return [
        *map(_build_customer_monitor, range(1, size("channel_customer", scale) + 1)),
        *_build_service_monitors(scale),
    ]


def _build_service_monitors(scale: Fraction | float) -> Iterator[Monitor]:
    """Yield a monitor for each service in each environment, in the state after its last deployment."""
    last = {(deployment[1], deployment[3]): deployment for deployment in list_deployments(scale)}
    places = [(service, environment) for service in SERVICES for environment in ENVIRONMENTS]
    for number, (service, environment) in enumerate(places, start=1):
        deployed = last.get((service, environment))
        yield Monitor(
            id=200_000 + number,
            name=f"Errors of {service} in {environment.lower()}",
            kind="query alert",
            query=f"sum(last_5m):sum:acme.errors{{service:{service},env:{environment}}} > 50",
            status="No Data" if deployed is None else MONITOR_STATUSES[deployed[4]],
            message=f"More requests to {service} fail than should.",
            tags=(f"service:{service}", f"env:{environment}", "team:engineering"),
            created=NOW - timedelta(days=400 + number),
            modified=NOW - timedelta(days=number),
        )


def _build_customer_monitor(customer: int) -> Monitor:
    """Build the monitor of a customer, which warns of few calls and has no data for silent customers."""
    calls = usage_day(customer, DAYS - 1)[2]
    busy = "Alert" if calls < ALERT_BELOW_CALLS else "Warn" if calls < WARN_BELOW_CALLS else "OK"
    return Monitor(
        id=100_000 + customer,
        name=f"Usage of customer {customer}",
        kind="metric alert",
        query=f"sum(last_1d):sum:acme.api_calls{{customer_id:{customer}}} < {ALERT_BELOW_CALLS}",
        status="No Data" if calls == 0 else busy,
        message="The customer hardly uses us any more.",
        tags=(f"customer_id:{customer}", "team:sales"),
        created=NOW - timedelta(days=300),
        modified=NOW - timedelta(days=1),
    )


def events(scale: Fraction | float = 1) -> list[Event]:
    """Return an event for the start of each deployment."""
    return [_build_event(deployment) for deployment in list_deployments(scale)]


def _build_event(deployed: Deployment) -> Event:
    number, service, version, environment, status, _, started, *_ = deployed
    return Event(
        id=f"AwAAA{draw(stream('event'), number):016x}",
        at=started,
        title=f"{service} {version} was rolled out",
        message=f"Deployment {number} of {service} {version} to {environment.lower()}: {status.lower()}",
        status={"SUCCEEDED": "ok", "FAILED": "error", "ROLLED_BACK": "warn"}[status],
        tags=(f"service:{service}", f"env:{environment}", f"deployment:{number}", "source:deploybot"),
    )


def logs(scale: Fraction | float = 1) -> list[Log]:
    """Return log lines of the last two weeks, the oldest first."""
    count, here = 10 * size("deployment", scale), list_traffic(scale)
    customers = size("channel_customer", scale)
    return [_build_log(number, count, here, customers) for number in range(1, count + 1)]


def _build_log(number: int, count: int, here: list[ServiceTraffic], customers: int) -> Log:
    bits = draw(stream("log"), number)
    at = NOW - timedelta(days=LOG_DAYS) * (count - number + 1) / count
    at = at.replace(microsecond=bits % 1000 * 1000)
    one = pick(here, bits >> 10)
    level = "error" if _is_troubled(one, at) and bits >> 62 else pick(LEVELS, bits >> 20)
    customer = 1 + (bits >> 26) % customers
    text = pick(LOG_TEXTS[level], bits >> 36).format(customer=customer, ms=3 + (bits >> 40) % 90, number=1 + bits % 50)
    about = (f"customer_id:{customer}",) if "customer" in text else ()
    return Log(
        id=f"AgAAA{draw(stream('log id'), number):016x}",
        at=at,
        service=one.service,
        host=f"{one.service}-{1 + (bits >> 48) % 3}",
        status=level,
        message=text,
        tags=(f"env:{one.environment}", *about),
    )


def _is_troubled(traffic: ServiceTraffic, time: datetime) -> bool:
    seconds = int(time.timestamp())
    return count_trouble_seconds(traffic, seconds + 1) > count_trouble_seconds(traffic, seconds)
