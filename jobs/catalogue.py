"""The catalogue: labels for shelves, by a script."""

from dataclasses import dataclass
from pathlib import Path

from onedoor.jobs import Job, Script, ScriptLimits, described


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintLabelsInput:
    """What the labels say."""

    skus: tuple[str, ...] = described("The products, a label each.")
    headline: str = described("What stands above each.", default="Acme Inc.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedLabels:
    """What was made."""

    labels: int = described("How many.")
    file: str = described("The file that has them.")


JOBS = (
    Job(
        name="PrintLabels",
        description="Makes a sheet of shelf labels.",
        owner="sales",
        may_start=frozenset({"sales", "support"}),
        may_see=frozenset({"sales", "support"}),
        input=PrintLabelsInput,
        result=PrintedLabels,
        run=Script(
            path=Path(__file__).parent / "scripts" / "labels.py",
            limits=ScriptLimits(cpu_seconds=20, memory_bytes=512 << 20, file_bytes=8 << 20),
        ),
        timeout_seconds=60.0,
    ),
)
