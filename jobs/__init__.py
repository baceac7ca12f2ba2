"""The company's own processes: one file per subject, each with the jobs it declares."""

from collections.abc import Iterator
from importlib import import_module

from work.declared import Job

SUBJECTS = ("invoices", "catalogue", "traffic")


def declared() -> Iterator[Job]:
    """All of them."""
    for each in SUBJECTS:
        yield from import_module(f"jobs.{each}").JOBS
