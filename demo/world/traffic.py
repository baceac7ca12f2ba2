"""A service and a second to how many requests it had served by then: more of them fail after a bad deployment."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from demo.world.draw import draw, stream
from demo.world.names import SERVICES
from demo.world.sizes import NOW, size
from demo.world.staff import DEPLOYMENT_DAYS, deployments

ENVIRONMENTS = ("PRODUCTION", "STAGING")
TROUBLE = {"FAILED": 3600, "ROLLED_BACK": 1200}
"""Seconds that requests fail after a deployment ended so."""
SINCE = int(NOW.timestamp()) - (DEPLOYMENT_DAYS + 1) * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One service where it runs: since when, requests a minute, and from when to when it was in trouble."""

    service: str
    environment: str
    since: int
    a_minute: int
    begins: Sequence[int]
    ends: Sequence[int]
    before: Sequence[int]
    """Seconds of trouble before each of those."""


def served(scale: Fraction | float) -> list[Served]:
    troubled = troubles(scale)
    return [
        made(service, environment, troubled.get((service, environment), []))
        for service in SERVICES
        for environment in ENVIRONMENTS
    ]


def troubles(scale: Fraction | float) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """Seconds from and to, by service and environment, in order, none across another."""
    found: defaultdict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for _, service, _, environment, status, _, started, *_ in deployments(size("deployment", scale), 1000):
        if status in TROUBLE:
            start = int(started.timestamp())
            end = start + TROUBLE[status]
            before = found[service, environment]
            if before and before[-1][1] >= start:
                before[-1] = (before[-1][0], max(before[-1][1], end))
            else:
                before.append((start, end))
    return dict(found)


def made(service: str, environment: str, troubled: Sequence[tuple[int, int]]) -> Served:
    bits = draw(stream("traffic " + service), 0 if environment == "PRODUCTION" else 1)
    before = [0]
    for start, end in troubled:
        before.append(before[-1] + end - start)
    return Served(
        service=service,
        environment=environment,
        since=SINCE,
        a_minute=(300 + bits % 900) if environment == "PRODUCTION" else 20 + bits % 40,
        begins=[start for start, _ in troubled],
        ends=[end for _, end in troubled],
        before=before,
    )


def counted(one: Served, code: str, at: int) -> int:
    """Requests with this code since the beginning: a thousandth fails, a quarter while there is trouble."""
    seconds = at - one.since
    trouble = in_trouble(one, at)
    failed = one.a_minute * (seconds + 249 * trouble) // 60_000
    return failed if code == "500" else one.a_minute * seconds // 60 - failed


def in_trouble(one: Served, at: int) -> int:
    """Seconds of trouble up to a second."""
    place = bisect_right(one.begins, at)
    if not place:
        return 0
    return one.before[place - 1] + min(at, one.ends[place - 1]) - one.begins[place - 1]
