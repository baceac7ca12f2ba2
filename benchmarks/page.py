"""Print the measurements as tables and write them into docs/performance.md."""

from statistics import median

from benchmarks.load import Load
from benchmarks.measures import Typed
from benchmarks.questions import ROWS, Question
from benchmarks.sides import BY_HAND, LIMIT, ONEDOOR, Side
from demo.servers.run import ROOT

PAGE = ROOT / "docs/performance.md"
BEGIN, END = "<!-- measured -->", "<!-- end -->"
COLUMNS = (
    "question", "of the limit", "to reach", "times by hand", "to reach", "a second", "by hand", "the limit",
    "median ms", "p99 / median",
)  # fmt: skip
HEAD = f"| {' | '.join(COLUMNS)} |\n|---|" + "--:|" * (len(COLUMNS) - 1)
MEMORY_MB = 150
FIRST_MS = 10


def row(question: Question, rounds: list[dict[str, Load]] | str) -> str:
    """One question's line: ratios are of one round, then their median and spread."""
    wanted = goal(question.of_limit), goal(question.times_by_hand)
    if isinstance(rounds, str):
        return line(question.title, "-", wanted[0], "-", wanted[1], rounds.replace("|", " "), "-", "-", "-", "-")
    ours, hand, limit = ([round_[name] for round_ in rounds] for name in (ONEDOOR, BY_HAND, LIMIT))
    return line(
        question.title,
        spread([one.per_second / other.per_second for one, other in zip(ours, limit, strict=True)]),
        wanted[0],
        spread([one.per_second / other.per_second for one, other in zip(ours, hand, strict=True)]),
        wanted[1],
        *(rate(side) for side in (ours, hand, limit)),
        f"{median(item.median for item in ours):.2f}",
        spread([item.p99 / item.median for item in ours]),
    )


def line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def goal(wanted: float | None) -> str:
    return "" if wanted is None else f"{wanted:g}"


def spread(values: list[float]) -> str:
    digits = 2 if median(values) < 10 else 0
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def rate(loads: list[Load]) -> str:
    result = median(load.per_second for load in loads)
    return f"{result:,.0f}" if result >= 10 else f"{result:.1f}"


def beside(
    sides: list[Side], memory: float | None, first: float, rows: dict[str, dict[int, float]], types: list[Typed]
) -> str:
    """Render the other measures, each beside its goal."""
    held = "not told by this system" if memory is None else f"{memory:.0f} MB"
    return "\n".join(
        (
            "| measure | found | to reach |",
            "|---|--:|--:|",
            line("resident memory of Onedoor after the load", held, f"under {MEMORY_MB} MB"),
            line("a first-time document of 50 fields, compiled", f"{first:.1f} ms", f"under {FIRST_MS} ms"),
            "",
            line("milliseconds of one answer, one connection", *(f"{row:,} rows" for row in ROWS)),
            "|---|" + "--:|" * len(ROWS),
            *(line(side.name, *(f"{rows[side.name][count]:.2f}" for count in ROWS)) for side in sides),
            "",
            "| types in the schema | one row by id, ms | artists, ms | first-time document, ms |",
            "|--:|--:|--:|--:|",
            *(
                line(str(type_.types), f"{type_.one:.2f}", f"{type_.music:.2f}", f"{type_.first:.1f}")
                for type_ in types
            ),
        )
    )


def write(measured: str) -> None:
    """Replace what stands between the marks."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{measured}\n{END}{after}", encoding="utf-8")
