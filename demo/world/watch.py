"""A scale to what watches the company: monitors of services and customers, events of deployments, lines of log."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from functools import cache

from demo.world.draw import draw, pick, stream
from demo.world.names import SERVICES
from demo.world.sizes import NOW, size
from demo.world.staff import Deployment, deployments
from demo.world.traffic import ENVIRONMENTS, Served, in_trouble, served
from demo.world.warehouse import DAYS, usage_day

AFTER = {"FAILED": "Alert", "ROLLED_BACK": "Warn", "SUCCEEDED": "OK"}
"""How a service is where its last deployment ended so."""
FEW_CALLS, HARDLY_ANY = 600, 300
"""API calls on the last day, below which a customer is watched."""
LOG_DAYS = 14
LEVELS = ("info",) * 16 + ("warn",) * 3 + ("error",)
SAID = {
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
def rolled_out(scale: Fraction | float) -> tuple[Deployment, ...]:
    return tuple(deployments(size("deployment", scale), 1000))


def monitors(scale: Fraction | float = 1) -> list[Monitor]:
    return [*map(_of_customer, range(1, size("channel_customer", scale) + 1)), *_of_services(scale)]


def _of_services(scale: Fraction | float) -> Iterator[Monitor]:
    """One for each service where it runs, in the state its last deployment left it."""
    last = {(each[1], each[3]): each for each in rolled_out(scale)}
    places = [(service, environment) for service in SERVICES for environment in ENVIRONMENTS]
    for number, (service, environment) in enumerate(places, start=1):
        deployed = last.get((service, environment))
        yield Monitor(
            id=200_000 + number,
            name=f"Errors of {service} in {environment.lower()}",
            kind="query alert",
            query=f"sum(last_5m):sum:acme.errors{{service:{service},env:{environment}}} > 50",
            status="No Data" if deployed is None else AFTER[deployed[4]],
            message=f"More requests to {service} fail than should.",
            tags=(f"service:{service}", f"env:{environment}", "team:engineering"),
            created=NOW - timedelta(days=400 + number),
            modified=NOW - timedelta(days=number),
        )


def _of_customer(customer: int) -> Monitor:
    """Those who use us no more, or hardly, are watched; the silent give no data."""
    calls = usage_day(customer, DAYS - 1)[2]
    busy = "Alert" if calls < HARDLY_ANY else "Warn" if calls < FEW_CALLS else "OK"
    return Monitor(
        id=100_000 + customer,
        name=f"Usage of customer {customer}",
        kind="metric alert",
        query=f"sum(last_1d):sum:acme.api_calls{{customer_id:{customer}}} < {HARDLY_ANY}",
        status="No Data" if calls == 0 else busy,
        message="The customer hardly uses us any more.",
        tags=(f"customer_id:{customer}", "team:sales"),
        created=NOW - timedelta(days=300),
        modified=NOW - timedelta(days=1),
    )


def events(scale: Fraction | float = 1) -> list[Event]:
    """One for each deployment, when it began."""
    return [_event(each) for each in rolled_out(scale)]


def _event(deployed: Deployment) -> Event:
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
    """The oldest first, over the last two weeks."""
    count, here = 10 * size("deployment", scale), served(scale)
    customers = size("channel_customer", scale)
    return [_log(number, count, here, customers) for number in range(1, count + 1)]


def _log(number: int, count: int, here: list[Served], customers: int) -> Log:
    bits = draw(stream("log"), number)
    at = NOW - timedelta(days=LOG_DAYS) * (count - number + 1) / count
    at = at.replace(microsecond=bits % 1000 * 1000)
    one = pick(here, bits >> 10)
    level = "error" if _troubled(one, at) and bits >> 62 else pick(LEVELS, bits >> 20)
    customer = 1 + (bits >> 26) % customers
    said = pick(SAID[level], bits >> 36).format(customer=customer, ms=3 + (bits >> 40) % 90, number=1 + bits % 50)
    about = (f"customer_id:{customer}",) if "customer" in said else ()
    return Log(
        id=f"AgAAA{draw(stream('log id'), number):016x}",
        at=at,
        service=one.service,
        host=f"{one.service}-{1 + (bits >> 48) % 3}",
        status=level,
        message=said,
        tags=(f"env:{one.environment}", *about),
    )


def _troubled(one: Served, at: datetime) -> bool:
    seconds = int(at.timestamp())
    return in_trouble(one, seconds + 1) > in_trouble(one, seconds)
