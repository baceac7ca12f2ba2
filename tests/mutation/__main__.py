"""Change the code that decides who may see what, one spot at a time, and see that a test fails each time.

Runs TESTS on each mutant of MODULES, or of those that are named: those of the tests that call the changed function,
until one fails. A mutant survives where all of them pass. Those that mean the same as the code are listed with the
reason in equivalents.toml; for any other the command ends with 1.
"""

import argparse
import os
import sys
import tomllib
from pathlib import Path

import pytest

from tests.mutation.mutants import Mutant
from tests.mutation.session import Equivalents, MutationRun, Tally

ROOT = Path(__file__).parents[2]

MODULES = (
    "auth.policy",
    "auth.grants",
    "onedoor.query.authorize",
    "onedoor.model.row_rules",
    "onedoor.model.masks",
    "onedoor.model.reader",
    "onedoor.query.planner.type_scans",
    "onedoor.mutations.row_access",
)

TESTS = (
    "tests/security/permission/test_decide.py",
    "tests/auth/test_grants.py",
    "tests/query/test_denials.py",
    "tests/query/rules",
    "tests/query/interfaces/test_coordinates.py",
    "tests/query/interfaces/test_guarded.py",
    "tests/query/interfaces/test_laws.py",
    "tests/security/permission/test_model.py",
    "tests/properties/access/test_access.py::test_everybody_gets_the_answer_of_the_model[0]",
)
"""The quickest first, as the first that fails ends it."""

OPTIONS = (
    "-x",
    "-n",
    "0",
    "-m",
    "not long",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:terminal",
    "-o",
    "addopts=--import-mode=importlib",
)


def main() -> int:
    """Run the mutants of all modules, or of those that are named."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("module", nargs="*", choices=[*MODULES, []], metavar="MODULE", help="only these modules")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    os.chdir(ROOT)
    run = MutationRun(
        root=ROOT,
        modules=chosen.module or MODULES,
        processes=chosen.processes,
        equivalents=read_equivalents(),
        report_survivor=report_survivor,
        report_tally=report_tally,
        warm_up=warm_up,
    )
    print("| module | mutants | killed | equivalent | survived |\n| --- | --: | --: | --: | --: |", flush=True)
    code = pytest.main([*OPTIONS, *TESTS], plugins=[run])
    if not chosen.module and run.unused:
        print(f"equivalents.toml lists what no mutant is: {sorted(run.unused)}", file=sys.stderr)
        return 1
    return int(code != 0 or any(tally.survivors for tally in run.tallies.values()))


def read_equivalents() -> Equivalents:
    """Return the function, the line and the change of each mutant that means the same as the code."""
    listed = tomllib.loads(Path(__file__).with_name("equivalents.toml").read_text(encoding="utf-8"))
    for entry in listed.get("equivalent", ()):
        assert entry["reason"].strip(), f"say why it means the same: {entry}"
    return frozenset((entry["function"], entry["line"], entry["change"]) for entry in listed.get("equivalent", ()))


def report_survivor(mutant: Mutant) -> None:
    """Print a mutant that no test notices, as soon as it is known."""
    print(f"  {mutant}", file=sys.stderr, flush=True)


def report_tally(module: str, tally: Tally) -> None:
    """Print what came of a module."""
    print(f"| {module} | {tally.count} | {tally.killed} | {tally.equivalent} | {len(tally.survivors)} |", flush=True)


def warm_up() -> None:
    """Migrate the database that tests copy, and draw the schemas of the model: no mutant has a part in them."""
    from tests.metadata import migrate_sqlite
    from tests.security.permission.test_model import cases

    migrate_sqlite()
    cases()


if __name__ == "__main__":
    sys.exit(main())
