"""Hold keys and people to budgets: the requests, cost, rows, bytes and seconds that they may use within any minute."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from math import ceil, inf
from time import monotonic
from typing import Any, Protocol

from auth.authentication import Principal
from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected

log = logging.getLogger("onedoor.budgets")

WINDOW_SECONDS = 60

LOG_SECONDS = 60.0
"""How often a budget that is only measured is said to be used up."""

LOOK_UP_SECONDS = 5
"""How long a job waits for a budget before its principal is looked up again."""

REMEMBERED_MAX = 10_000


class BudgetUnit(StrEnum):
    """What a budget counts, as the audit record of a request does; the cost is that of the extension `cost`."""

    REQUESTS = "requests"
    COST = "cost"
    ROWS = "rows"
    BYTES = "bytes"
    SECONDS = "seconds"


PARTS: Mapping[BudgetUnit, int] = {**dict.fromkeys(BudgetUnit, 1), BudgetUnit.SECONDS: 1000}
"""How many whole numbers one of each unit is counted in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLimits:
    """What may be used within any minute, by unit; what is not set is not limited."""

    requests: int | None = None
    """Requests; events of subscriptions that are shown, pages of exports and queries of jobs are requests, too."""
    cost: int | None = None
    """The cost of requests, as `extensions.onedoor.cost` shows it; counted before anything is read."""
    rows: int | None = None
    """Rows that answers are made of, as audit records count them."""
    bytes: int | None = None
    """Bytes of responses, as audit records count them."""
    seconds: float | None = None
    """Seconds that requests took, as audit records count them."""


UNLIMITED = BudgetLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSettings:
    """The settings of `[budgets]`."""

    measure_only: bool = False
    """Whether requests over a budget are served, and the log says so."""
    processes: int = 1
    """How many processes count for themselves: without `cache.url`, or while Redis is away, each grants its part."""
    keys: BudgetLimits | None = None
    """What each key may use, whosever it is."""
    services: Mapping[str, BudgetLimits] = field(default_factory=dict)
    """By the group that owns a service: what each of its keys may use, in place of `keys`, unit by unit."""
    groups: Mapping[str, BudgetLimits] = field(default_factory=dict)
    """By group: what each person in it may use, with all their keys together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """One budget of a principal: how much of a unit they may use within any minute."""

    setting: str
    """The setting that says so, such as `budgets.keys.rows`."""
    unit: BudgetUnit
    limit: float
    counter: str
    """What it is counted under."""

    @property
    def limit_in_parts(self) -> int:
        return int(self.limit * PARTS[self.unit])

    def describe(self) -> str:
        """Name the budget, with how much it is."""
        return f"the budget `{self.setting}` of {self.limit:,} a minute"


def list_allowances(settings: BudgetSettings, principal: Principal) -> Sequence[Allowance]:
    """List the budgets of a principal: those of their key, and for each unit the most generous of their groups'."""
    return [
        Allowance(setting=f"{setting}.{unit}", unit=unit, limit=limit, counter=f"{owner} {unit}")
        for unit in BudgetUnit
        for owner, (limit, setting) in (
            (f"key {principal.key_id}", _find_key_limit(settings, principal, unit)),
            (f"person {principal.person_id}", _find_group_limit(settings, principal, unit)),
        )
        if limit < inf
    ]


def _find_key_limit(settings: BudgetSettings, principal: Principal, unit: BudgetUnit) -> tuple[float, str]:
    of_owner = settings.services.get(principal.owner_group or "", UNLIMITED)
    own, usual = getattr(of_owner, unit), getattr(settings.keys or UNLIMITED, unit)
    if own is not None:
        return own, f"budgets.services.{principal.owner_group}"
    return inf if usual is None else usual, "budgets.keys"


def _find_group_limit(settings: BudgetSettings, principal: Principal, unit: BudgetUnit) -> tuple[float, str]:
    limits = (
        (limit, f"budgets.groups.{group}")
        for group in sorted(principal.groups & settings.groups.keys())
        if (limit := getattr(settings.groups[group], unit)) is not None
    )
    return max(limits, key=lambda limit: limit[0], default=(inf, ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """An amount that is wanted of a counter, which may hold so much within any minute."""

    counter: str
    amount: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterReading:
    """What a counter holds of the last minute, and the seconds until an amount fits; 0: it does now."""

    used: int
    wait: float = 0.0


class SharedCounters(Protocol):
    """Counts for all replicas; each method returns None while what counts does not answer."""

    async def read(self, draws: Sequence[Draw]) -> Sequence[CounterReading] | None:
        """Read the counters of these draws, and count nothing."""
        ...

    async def take(self, draws: Sequence[Draw]) -> Sequence[CounterReading] | None:
        """Count all of these draws, or none of them where one has to wait."""
        ...

    async def add(self, amounts: Mapping[str, int]) -> Sequence[Any] | None:
        """Count amounts by counter, whether they fit or not."""
        ...

    async def close(self) -> None:
        """Release what it holds."""
        ...


class ProcessCounters:
    """Counts for this process alone, second by second of a clock that never goes back."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self.counters: dict[str, MinuteOfCounter] = {}
        self.swept_at = clock()

    def read(self, draw: Draw) -> CounterReading:
        """Read a counter; more than its limit fits where it is empty, as a part of a budget may be that small."""
        counter, now = self.counters.get(draw.counter), self.clock()
        if counter is None:
            return CounterReading(used=0)
        counter.forget_old(int(now))
        return CounterReading(used=counter.total, wait=counter.get_wait(draw.limit - draw.amount, now))

    def add(self, counter_name: str, amount: int) -> None:
        """Count an amount."""
        now = int(self.clock())
        if now - self.swept_at >= WINDOW_SECONDS:
            self._forget_idle(now)
        self.counters.setdefault(counter_name, MinuteOfCounter()).add(now, amount)

    def _forget_idle(self, now: int) -> None:
        self.swept_at = now
        for counter in self.counters.values():
            counter.forget_old(now)
        self.counters = {name: counter for name, counter in self.counters.items() if counter.by_second}


@dataclass(slots=True)
class MinuteOfCounter:
    """What one counter holds of the last minute, by the second in which it was counted."""

    by_second: deque[tuple[int, int]] = field(default_factory=deque)
    total: int = 0

    def add(self, now: int, amount: int) -> None:
        self.forget_old(now)
        if self.by_second and self.by_second[-1][0] == now:
            self.by_second[-1] = now, self.by_second[-1][1] + amount
        else:
            self.by_second.append((now, amount))
        self.total += amount

    def forget_old(self, now: int) -> None:
        while self.by_second and self.by_second[0][0] < now - WINDOW_SECONDS:
            self.total -= self.by_second.popleft()[1]

    def get_wait(self, room: int, now: float) -> float:
        """Return the seconds until no more than `room` is left of it, or nothing at all."""
        left, wait = self.total, 0.0
        for second, counted in self.by_second:
            if left <= max(0, room):
                break
            left, wait = left - counted, second + WINDOW_SECONDS + 1 - now
        return wait


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRefusal:
    """Which budget is used up, and after how many seconds the request may come again."""

    allowance: Allowance
    seconds: float

    @property
    def retry_after(self) -> int:
        return max(1, ceil(self.seconds))

    @property
    def message(self) -> str:
        return f"{self.allowance.describe()} is used up, come again in {self.retry_after} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class OversizeCost:
    """A budget of cost that a request would not fit even if nothing of it was used."""

    allowance: Allowance
    cost: int

    @property
    def message(self) -> str:
        return f"the request costs {self.cost}, more than {self.allowance.describe()}: ask for less, or in parts"

    def build_error(self) -> GraphQLErrorInfo:
        return GraphQLErrorInfo(code=ErrorCode.LIMIT_EXCEEDED, message=self.message)


class BudgetExceeded(Exception):
    """A request costs more than is left of a budget for now."""

    def __init__(self, refusal: BudgetRefusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetUse:
    """What a principal has used of a budget within the last minute."""

    allowance: Allowance
    used: float


class Budgets:
    """Counts what principals use, and refuses what is over their budgets.

    Replicas share `shared`. Where there is none, and while it does not answer, each process counts for itself and
    grants its part of every budget: nobody is shut out, and nothing is without a limit.
    """

    def __init__(
        self,
        settings: BudgetSettings | None = None,
        *,
        shared: SharedCounters | None = None,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Count by a monotonic clock; `sleep` waits for budgets of jobs and exports."""
        self.settings = settings or BudgetSettings()
        self.is_empty = not has_budgets(self.settings)
        self.shared, self.clock, self.sleep = shared, clock, sleep
        self.counters = ProcessCounters(clock)
        self.refused_until: dict[tuple[str, float], float] = {}
        """By counter and limit, when a shared budget that was used up may be asked again."""
        self.logged_at: dict[str, float] = {}

    async def admit(self, principal: Principal) -> BudgetRefusal | None:
        """Count a request; refuse one of a principal who has used up a budget, which does not count."""
        if self.is_empty:
            return None
        allowances = list_allowances(self.settings, principal)
        refusal = self._find_remembered(allowances) or await self._take(allowances, BudgetUnit.REQUESTS, 1)
        if refusal is None or not self.settings.measure_only:
            return refusal
        self._log_over(refusal)
        await self._add(allowances, {BudgetUnit.REQUESTS: 1})
        return None

    async def take_cost(self, principal: Principal, cost: int) -> None:
        """Count the cost of a request before it is carried out.

        Raises BudgetExceeded where it does not fit now, and RequestRejected where it never will.
        """
        if self.is_empty:
            return
        allowances = [item for item in list_allowances(self.settings, principal) if item.unit is BudgetUnit.COST]
        oversize = find_oversize(allowances, cost)
        if oversize is not None and not self.settings.measure_only:
            raise RequestRejected(oversize.build_error())
        refusal = None if oversize is not None else await self._take(allowances, BudgetUnit.COST, cost)
        over = oversize or refusal
        if over is None:
            return
        if refusal is not None and not self.settings.measure_only:
            raise BudgetExceeded(refusal)
        self._log_over(over)
        await self._add(allowances, {BudgetUnit.COST: cost})

    async def add(self, principal: Principal, usage: Mapping[BudgetUnit, float]) -> None:
        """Count what a request has used, whether it fits or not: the next one is refused where it did not."""
        if not self.is_empty:
            await self._add(list_allowances(self.settings, principal), usage)

    async def wait(self, load_principal: Callable[[], Awaitable[Principal]]) -> Principal:
        """Count a request of a job or an export, once its principal's budgets allow it; return them as they are then.

        Raises what `load_principal` does.
        """
        while True:
            principal = await load_principal()
            refusal = await self.admit(principal)
            if refusal is None:
                return principal
            await self.sleep(min(refusal.retry_after, LOOK_UP_SECONDS))

    async def list_uses(self, principal: Principal) -> Sequence[BudgetUse]:
        """List the budgets of a principal with what they have used."""
        allowances = list_allowances(self.settings, principal)
        readings = await self._read([_build_draw(item, 0) for item in allowances])
        return [
            BudgetUse(allowance=allowance, used=reading.used / PARTS[allowance.unit])
            for allowance, reading in zip(allowances, readings, strict=True)
        ]

    async def close(self) -> None:
        if self.shared is not None:
            await self.shared.close()

    async def _take(self, allowances: Sequence[Allowance], unit: BudgetUnit, amount: int) -> BudgetRefusal | None:
        """Count an amount of one unit where each allowance of it has room, and each of another has anything left."""
        of_unit = [item for item in allowances if item.unit is unit]
        others = [item for item in allowances if item.unit is not unit]
        refusal = _choose_refusal(others, await self._read([_build_draw(item, 1) for item in others]))
        if refusal is None and of_unit:
            draws = [_build_draw(item, amount) for item in of_unit]
            taken = None if self.shared is None else await self.shared.take(draws)
            readings = [self.counters.read(self._divide(draw)) for draw in draws] if taken is None else taken
            refusal = _choose_refusal(of_unit, readings)
        if refusal is None:
            for item in of_unit:
                self.counters.add(item.counter, amount)
        elif self.shared is not None and unit is BudgetUnit.REQUESTS:
            self._remember(refusal)
        return refusal

    async def _read(self, draws: Sequence[Draw]) -> Sequence[CounterReading]:
        shared = None if self.shared is None or not draws else await self.shared.read(draws)
        return [self.counters.read(self._divide(draw)) for draw in draws] if shared is None else shared

    async def _add(self, allowances: Sequence[Allowance], usage: Mapping[BudgetUnit, float]) -> None:
        amounts = {item.counter: ceil(usage.get(item.unit, 0) * PARTS[item.unit]) for item in allowances}
        amounts = {counter: amount for counter, amount in amounts.items() if amount > 0}
        for counter, amount in amounts.items():
            self.counters.add(counter, amount)
        if self.shared is not None and amounts:
            await self.shared.add(amounts)

    def _divide(self, draw: Draw) -> Draw:
        """Return the part of a budget that this process grants by itself."""
        return Draw(counter=draw.counter, amount=draw.amount, limit=max(1, draw.limit // self.settings.processes))

    def _remember(self, refusal: BudgetRefusal) -> None:
        """Refuse the next requests without asking what counts for all, until there may be room again."""
        if len(self.refused_until) >= REMEMBERED_MAX:
            self.refused_until.clear()
        key = refusal.allowance.counter, refusal.allowance.limit
        self.refused_until[key] = self.clock() + refusal.seconds

    def _find_remembered(self, allowances: Sequence[Allowance]) -> BudgetRefusal | None:
        if not self.refused_until:
            return None
        now = self.clock()
        for allowance in allowances:
            key = allowance.counter, allowance.limit
            until = self.refused_until.get(key)
            if until is not None and until > now:
                return BudgetRefusal(allowance=allowance, seconds=until - now)
            self.refused_until.pop(key, None)
        return None

    def _log_over(self, refusal: "BudgetRefusal | OversizeCost") -> None:
        """Say of a budget that is only measured that it would refuse, once a minute for each counter."""
        counter, now = refusal.allowance.counter, self.clock()
        if now - self.logged_at.get(counter, -inf) < LOG_SECONDS:
            return
        if len(self.logged_at) >= REMEMBERED_MAX:
            self.logged_at.clear()
        self.logged_at[counter] = now
        owner, _, name = counter.rpartition(" ")[0].partition(" ")
        log.warning("measured only: %s `%s`: %s", owner, name, refusal.message)


def _build_draw(allowance: Allowance, amount: int) -> Draw:
    return Draw(counter=allowance.counter, amount=amount, limit=allowance.limit_in_parts)


def find_oversize(allowances: Sequence[Allowance], cost: int) -> OversizeCost | None:
    """Return the first budget of cost that is smaller than one request."""
    too_small = (OversizeCost(allowance=allowance, cost=cost) for allowance in allowances if cost > allowance.limit)
    return next(too_small, None)


def _choose_refusal(allowances: Sequence[Allowance], readings: Sequence[CounterReading]) -> BudgetRefusal | None:
    """Choose the budget that has to be waited for the longest."""
    refusals = [
        BudgetRefusal(allowance=allowance, seconds=reading.wait)
        for allowance, reading in zip(allowances, readings, strict=True)
        if reading.wait > 0
    ]
    return max(refusals, key=lambda refusal: refusal.seconds, default=None)


def has_budgets(settings: BudgetSettings) -> bool:
    """Whether any budget is set."""
    tables = (settings.keys or UNLIMITED, *settings.services.values(), *settings.groups.values())
    return any(getattr(table, unit.name) is not None for table in tables for unit in fields(BudgetLimits))
