"""Change the code that decides who may see what, one spot at a time, and see that a test fails each time.

Runs the tests of each module in SCOPE, or of those that are named, on each of its mutants; one survives where all tests
pass with it. Those that mean the same as the code are listed with the reason in equivalents.toml; for any other the
command ends with 1.
"""

import argparse
import os
import signal
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import pytest

from tests.mutation.mutants import Mutant, find_function, make_mutants

ROOT = Path(__file__).parents[2]

RULES = ("tests/query/rules/test_rows.py", "tests/query/rules/test_masks.py", "tests/query/rules/test_changes.py")

SCOPE: Mapping[str, Sequence[str]] = {
    "auth.policy": (
        "tests/security/permission/test_decide.py",
        "tests/query/test_denials.py",
        "tests/query/rules/test_masks.py",
        "tests/security/permission/test_model.py",
    ),
    "auth.grants": ("tests/auth/test_grants.py",),
    "onedoor.query.authorize": ("tests/query/test_denials.py", "tests/security/permission/test_model.py", *RULES),
    "onedoor.model.row_rules": (*RULES, "tests/query/rules/test_start.py", "tests/properties/rows"),
    "onedoor.model.masks": ("tests/query/rules/test_masks.py", "tests/query/rules/test_start.py"),
    "onedoor.model.reader": (*RULES, "tests/query/rules/test_start.py", "tests/properties/rows"),
    "onedoor.query.planner.type_scans": (*RULES, "tests/query/rules/test_start.py", "tests/properties/rows"),
    "onedoor.mutations.row_access": ("tests/query/rules/test_changes.py",),
}
"""By module that decides, what is run on its mutants: the quickest first, as the first that fails ends it."""

OPTIONS = ("-x", "-q", "-n", "0", "-m", "not long", "-p", "no:cacheprovider")

SECONDS_MAX = 120

BROKEN = 70
"""How a process ends that could not run the tests."""


@dataclass(slots=True)
class Tally:
    """What came of the mutants of one module."""

    killed: int = 0
    equivalent: int = 0
    survivors: list[Mutant] = field(default_factory=list)


def main() -> int:
    """Run all of SCOPE, or the modules that are named."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("module", nargs="*", choices=[*SCOPE, []], metavar="MODULE", help="only these modules")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    os.chdir(ROOT)
    equivalents = read_equivalents()
    survived, unused = False, set(equivalents)
    print("| module | mutants | killed | equivalent | survived |\n| --- | --: | --: | --: | --: |", flush=True)
    for name in chosen.module or SCOPE:
        tally = try_module(name, chosen.processes, equivalents, unused)
        count = tally.killed + tally.equivalent + len(tally.survivors)
        print(f"| {name} | {count} | {tally.killed} | {tally.equivalent} | {len(tally.survivors)} |", flush=True)
        for mutant in tally.survivors:
            print(f"  {mutant}", file=sys.stderr, flush=True)
        survived |= bool(tally.survivors)
    if not chosen.module and unused:
        print(f"equivalents.toml lists what no mutant is: {sorted(unused)}", file=sys.stderr)
        return 1
    return int(survived)


def read_equivalents() -> frozenset[tuple[str, str, str]]:
    """Return the function, the line and the change of each mutant that means the same as the code."""
    listed = tomllib.loads(Path(__file__).with_name("equivalents.toml").read_text(encoding="utf-8"))
    for entry in listed.get("equivalent", ()):
        assert entry["reason"].strip(), f"say why it means the same: {entry}"
    return frozenset((entry["function"], entry["line"], entry["change"]) for entry in listed.get("equivalent", ()))


def try_module(
    name: str, processes: int, equivalents: frozenset[tuple[str, str, str]], unused: set[tuple[str, str, str]]
) -> Tally:
    """Run the module's tests on each of its mutants, in forks of this process, which has imported them."""
    module = import_module(name)
    if (code := run_quietly((*OPTIONS, "--collect-only", *SCOPE[name]))) != 0:
        raise SystemExit(f"the tests of `{name}` cannot be collected: {code}")
    tally, running = Tally(), dict[int, Mutant]()
    for mutant in make_mutants(module, ROOT):
        key = (f"{name}.{mutant.function}", mutant.text, mutant.change)
        unused.discard(key)
        if key in equivalents:
            tally.equivalent += 1
            continue
        if len(running) >= processes:
            count_one(running, tally)
        running[fork_tests(name, mutant)] = mutant
    while running:
        count_one(running, tally)
    return tally


def fork_tests(name: str, mutant: Mutant) -> int:
    """Run the tests of a module on a mutant in a process of its own, and return its id."""
    process = os.fork()
    if process:
        return process
    signal.alarm(SECONDS_MAX)  # ends what loops for ever, which counts as noticed
    try:
        find_function(import_module(name), mutant.function).__code__ = mutant.code
        os._exit(run_quietly((*OPTIONS, *SCOPE[name])))
    finally:
        os._exit(BROKEN)


def count_one(running: dict[int, Mutant], tally: Tally) -> None:
    """Wait for one of the processes, and count what came of its mutant."""
    process, status = os.wait()
    mutant = running.pop(process)
    code = os.waitstatus_to_exitcode(status)
    if code == BROKEN:
        raise SystemExit(f"the tests cannot be run on {mutant}")
    if code == 0:
        tally.survivors.append(mutant)
    else:
        tally.killed += 1


def run_quietly(arguments: Iterable[str]) -> int:
    """Run pytest in this process, and return its exit code; nothing is printed."""
    silent = os.open(os.devnull, os.O_WRONLY)
    before = os.dup(1), os.dup(2)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    try:
        return int(pytest.main(list(arguments)))
    finally:
        sys.stdout.flush()
        os.dup2(before[0], 1)
        os.dup2(before[1], 2)


if __name__ == "__main__":
    sys.exit(main())
