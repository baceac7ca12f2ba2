"""A plan made plain in, lines a person reads in a terminal out."""

from collections.abc import Iterator, Sequence

from engine.plan.explain import KEYS, BranchShown, Ran, ReadShown
from engine.plan.said import counted
from engine.plan.steps import How, Step

WHO = {
    How.PUSHED_DOWN: "pushed down",
    How.IN_PARTS: "pushed down in parts",
    How.CARRIED: "carried across",
    How.FINISHED: "finished by us",
    How.OPEN: "still open",
}


def lines(branches: Sequence[BranchShown]) -> list[str]:
    return [line for each in branches for line in _branch(each, "")]


def _branch(branch: BranchShown, indent: str) -> Iterator[str]:
    joined = f" by {', '.join(branch.there)} = {', '.join(branch.here) or 'id'}" if branch.there else ""
    yield f"{indent}{branch.type}.{branch.key}: {branch.to}{joined}"
    for read in branch.reads:
        yield from _read(read, indent + "  ")
    for each in branch.branches:
        yield from _branch(each, indent + "  ")


def _read(read: ReadShown, indent: str) -> Iterator[str]:
    again = ", as above" if read.shared else _fresh(read)
    columns = f" ({', '.join(read.columns)})" if read.columns else ""
    yield f"{indent}{_purpose(read)} from {read.source} {read.collection}{columns}{again}{_ran(read)}"
    yield from (f"{indent}  {_step(each)}" for each in read.steps)
    for each in read.reads:
        yield from _read(each, indent + "  ")


def _purpose(read: ReadShown) -> str:
    if read.purpose == KEYS:
        return "carries keys"
    return f"reaches {', '.join(read.brings)}" if read.brings else " ".join((read.purpose, *_of(read)))


def _of(read: ReadShown) -> Sequence[str]:
    return () if read.of is None else (f"`{read.of}`",)


def _fresh(read: ReadShown) -> str:
    return f", kept for {read.fresh:g} s" if read.fresh else ""


def _ran(read: ReadShown) -> str:
    ran = read.ran
    if ran is None:
        return ": not asked" if read.idle else ""
    return f": {', '.join(_came_of(ran))}"


def _came_of(ran: Ran) -> Iterator[str]:
    yield counted(ran.rows, "row")
    if ran.outgrown:
        yield f"{ran.outgrown:,} of them through the scratch database"
    yield counted(ran.bytes, "byte")
    if ran.keys:
        yield f"for {counted(ran.keys, 'key')}"
    yield counted(ran.calls, "call")
    if ran.cached:
        yield f"{ran.cached:,} kept since {ran.at}"
    yield f"{ran.ms:.1f} ms"
    if ran.failed:
        yield f"failed: {ran.failed}"


def _step(step: Step) -> str:
    because = f", as {step.why}" if step.why else ""
    return f"{step.step} {WHO[step.how]}: {step.what}{because}"
