"""Run the benchmark, `make bench`: three servers over PostgreSQL and a REST API, and one table of results."""

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measures, page
from benchmarks.load import CONNECTIONS, LONGEST, Load, NoGenerator, generator, load
from benchmarks.questions import QUESTIONS, Question
from benchmarks.servers import PEPPER, NotRunning, settle, start, upstreams
from benchmarks.sides import BY_HAND, LIMIT, NotAnswered, Side, equal, requests
from benchmarks.tables import fill
from demo.servers.postgresql import postgresql_server

WARM_SECONDS = 1.0
TURNS = 5
"""How many answers each connection waits for at least."""
JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What stands while questions are asked; `sides` in the order in which they take turns."""

    folder: Path
    key: str
    environment: Mapping[str, str]
    sides: list[Side]


def main() -> None:
    """Run the benchmark; exit with 2 and one sentence where it cannot run."""
    parser = argparse.ArgumentParser(prog="make bench", description="Onedoor, by hand, and the limit, in one run.")
    parser.add_argument("--question", choices=[question.name for question in QUESTIONS], action="append", default=[])
    parser.add_argument("--seconds", type=float, default=3.0, help="how long one server is asked one question")
    parser.add_argument("--rounds", type=int, default=5, help="how often each server takes its turn")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        generator()
        print_measurements(chosen.question, chosen.seconds, chosen.rounds)
    except (NoGenerator, NotRunning) as reason:
        print(reason, file=sys.stderr)
        sys.exit(2)


def print_measurements(names: Sequence[str], seconds: float, rounds: int) -> None:
    """Print the figures; those of all queries are written to docs/performance.md, too."""
    with start_run() as run:
        print(page.HEAD, flush=True)
        rows = []
        for question in QUESTIONS:
            if not names or question.name in names:
                rows.append(page.row(question, measure_query(run.sides, question, seconds, rounds)))
                print(rows[-1], flush=True)
        if not names:
            beside = page.beside(run.sides, *others(run))
            print(f"\n{beside}")
            page.write("\n".join((page.HEAD, *rows, "", beside)))


def measure_query(sides: list[Side], question: Question, seconds: float, rounds: int) -> list[dict[str, Load]] | str:
    """By round and side what came of the load; a text: why it was not asked."""
    try:
        alone = equal(sides, question)
    except NotAnswered as reason:
        return f"not answered yet: {reason}"
    long = {name: min(max(seconds, item * CONNECTIONS * TURNS), LONGEST / 2) for name, item in alone.items()}
    for side in sides:
        load(side, requests(side.name, question), seconds=max(WARM_SECONDS, long[side.name] / TURNS))
    return [
        {side.name: load(side, requests(side.name, question), seconds=long[side.name]) for side in sides}
        for _ in range(rounds)
    ]


def others(run: Run) -> tuple[float | None, float, dict[str, dict[int, float]], list[measures.Typed]]:
    onedoor = run.sides[0]
    memory = measures.rss(onedoor.server)
    first = measures.measure_compilation(onedoor)
    rows = measures.by_rows(run.sides, WARM_SECONDS)
    return memory, first, rows, list(measures.by_types(run.folder, run.key, run.environment, WARM_SECONDS))


@contextmanager
def start_run() -> Iterator[Run]:
    """All of it, each server one process."""
    with ExitStack() as stack:
        database = stack.enter_context(postgresql_server()).emptied("bench")
        asyncio.run(fill(database))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="onedoor-bench-")))
        environment = {"DATABASE": database, "ONEDOOR_PEPPER": PEPPER, **stack.enter_context(upstreams())}
        key = settle(folder, environment)
        onedoor = measures.start_server(stack, folder, key, environment)
        by_hand = Side(name=BY_HAND, server=start(stack, "benchmarks.by_hand", environment=environment), headers=JSON)
        limit = Side(name=LIMIT, server=start(stack, "benchmarks.limit", environment=environment), headers={})
        yield Run(folder=folder, key=key, environment=environment, sides=[onedoor, by_hand, limit])


if __name__ == "__main__":
    main()
