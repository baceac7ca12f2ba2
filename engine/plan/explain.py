"""A plan in, the same as plain data that a person can read out: what is asked of which source, and who takes each step.

Once the plan was carried out, its reads say what came of them, and their steps are those that were taken.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.plan import push
from engine.plan.push import pending
from engine.plan.said import NOTHING_CAME, Came
from engine.plan.steps import How, Step, steps
from engine.plan.why import Side, too_many
from engine.plan.words import Branch, Carried, Plan, Read, Wanted, distinct
from engine.source import Source
from engine.words import All, Exists, Not, Some

KEYS = "keys"
"""The purpose of a read whose keys are carried to the read it stands below."""
REACHED = "reached"
"""That of a read for what lies beyond a link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What came of one read."""

    read: Read
    """As it was asked, the keys of other reads in place."""
    spread: tuple[str, ...]
    """Columns whose keys, from another read, were spread over the calls."""
    calls: int
    cached: int
    """Answered without a call, as the same was read a moment ago."""
    at: str | None
    """When the oldest of those rows were read; None: no call was saved."""
    keys: int
    """That were given, however many calls they took."""
    rows: int
    """As its source gave them, before any step of ours."""
    outgrown: int
    """Of those, what was too much for memory and went through the scratch database."""
    bytes: int
    """Of those rows, as JSON."""
    ms: float
    failed: str | None
    sql: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a plan beside itself; of one that was only planned, no more than its sources."""

    source: Callable[[str], Source]
    ran: Mapping[int, Ran] = field(default_factory=dict)
    """By id of what was wanted."""
    beside: Mapping[int, Carried] = field(default_factory=dict)
    """By id of an `Exists`, the keys it came to."""
    came: Came = field(default_factory=lambda: NOTHING_CAME)
    over: bool = False
    """It was carried out: what did not run was not asked."""
    sql: Callable[[Read], tuple[str, ...]] = lambda read: ()
    """The statements of a read that was not asked."""
    fresh: Callable[[Wanted], float] = lambda wanted: 0.0

    def side(self, wanted: Wanted) -> Side:
        source = self.source(wanted.source)
        return Side(name=wanted.source, can=source.can(wanted.collection), cans=source.can)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadShown:
    """One read of one collection. `brings` is what a reached read adds to the rows above."""

    purpose: str
    of: str | None = None
    """Of groups, the key they are asked under."""
    source: str
    collection: str
    columns: tuple[str, ...]
    brings: tuple[str, ...] = ()
    fresh: float = 0.0
    """For how many seconds its rows may be kept, and serve again."""
    shared: bool = False
    """Shown above already: it serves several reads."""
    idle: bool = False
    """It was not asked: no key led to it, or what came before it failed."""
    steps: tuple[Step, ...] = ()
    ran: Ran | None = None
    sql: tuple[str, ...] = ()
    reads: tuple["ReadShown", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchShown:
    """One field that leads to rows. `there` of its rows equals `here` of the rows above."""

    type: str
    field: str
    key: str
    to: str
    here: tuple[str, ...]
    there: tuple[str, ...]
    reads: tuple[ReadShown, ...]
    branches: tuple["BranchShown", ...]


def explain(plan: Plan, known: Known) -> tuple[BranchShown, ...]:
    return Explaining(known, set()).branches(plan.branches)


@dataclass(frozen=True, slots=True)
class Explaining:
    """One walk; `shown` holds the ids of what was shown, as several reads may wait for the same keys."""

    known: Known
    shown: set[int]

    def branches(self, branches: Sequence[Branch]) -> tuple[BranchShown, ...]:
        return tuple(
            BranchShown(
                type=each.pick.type,
                field=each.pick.field,
                key=each.pick.key,
                to=each.type,
                here=each.here,
                there=each.there,
                reads=tuple(self.reads(each)),
                branches=self.branches((*each.members, *each.branches)),
            )
            for each in branches
        )

    def reads(self, branch: Branch) -> Iterator[ReadShown]:
        named = {"rows": branch.rows, "tally": branch.tally, "passed": branch.passed, "ahead": branch.ahead}
        yield from (self.read(purpose, read) for purpose, read in named.items() if read is not None)
        yield from (replace(self.read("groups", each.read), of=each.pick.key) for each in branch.groupings)

    def read(self, purpose: str, planned: Read) -> ReadShown:
        wanted, ran = planned.wanted, self.known.ran.get(id(planned.wanted))
        read = planned if ran is None else ran.read
        return ReadShown(
            purpose=purpose,
            source=wanted.source,
            collection=wanted.collection,
            columns=read.asked,
            fresh=self.known.fresh(wanted),
            idle=self.known.over and ran is None,
            steps=(*self.spread(wanted, ran), *steps(read, self.known.side(wanted), self.known.came)),
            ran=ran,
            sql=self.known.sql(planned) if ran is None else ran.sql,
            reads=(
                *(self.below(KEYS, each.wanted) for each in self.carried(planned, wanted.where)),
                *(replace(self.below(REACHED, each.wanted), brings=each.names) for each in wanted.reaches),
            ),
        )

    def spread(self, wanted: Wanted, ran: Ran | None) -> Iterator[Step]:
        if ran is not None and ran.spread:
            why = f"they were read first, and {too_many(self.known.side(wanted))}"
            yield Step(step="keys", how=How.CARRIED, what=", ".join(ran.spread), why=why)

    def below(self, purpose: str, wanted: Wanted) -> ReadShown:
        """A read that is planned only when it is asked, once however many others wait for it."""
        read = _planned(self.known.source(wanted.source), wanted)
        if id(wanted) in self.shown:
            return ReadShown(
                purpose=purpose, source=wanted.source, collection=wanted.collection, columns=read.asked, shared=True
            )
        self.shown.add(id(wanted))
        return self.read(purpose, read)

    def carried(self, planned: Read, where: Any) -> Iterator[Carried]:
        match where:
            case All() | Some():
                for each in where.parts:
                    yield from self.carried(planned, each)
            case Not():
                yield from self.carried(planned, where.part)
            case Exists() if found := self.beside(planned.wanted, where):
                yield found
            case Exists():
                yield from self.carried(planned, where.where)
            case Carried():
                yield where

    def beside(self, wanted: Wanted, where: Exists) -> Carried | None:
        """The keys that rows beside come to, where their source cannot look at them itself."""
        found = self.known.beside.get(id(where))
        if found is not None or self.known.ran:
            return found if found is not None and id(found.wanted) in self.known.ran else None
        side = self.known.side(wanted)
        if push.pushable(where, side.can, side.cans) or (side.can.related and pending(where.where)):
            return None
        return Carried(where.here, distinct(wanted.source, where.collection, where.there, where.where))


def _planned(source: Source, wanted: Wanted) -> Read:
    """What can only be read by its keys is asked for those that our rows name."""
    requires = source.can(wanted.collection).requires
    planned = push.read(source, wanted if wanted.keyed or not requires else replace(wanted, keyed=wanted.columns))
    return replace(planned, wanted=wanted)
