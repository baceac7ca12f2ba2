"""The company's own processes: one file per subject, each with the jobs it declares."""

from collections.abc import Iterator
from importlib import import_module

from onedoor.jobs.declarations import Job

JOB_MODULES = ("invoices", "catalogue", "traffic")


def load_declared_jobs() -> Iterator[Job]:
    """All of them."""
    for each in JOB_MODULES:
        yield from import_module(f"jobs.{each}").JOBS
