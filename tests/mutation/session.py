"""Run tests on mutants: collect them once, then fork for each mutant, which runs what touches the changed function."""

import os
import pickle
import resource
import signal
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

import pytest
from _pytest.main import pytest_runtestloop as run_collected_tests

from tests.mutation.mutants import Mutant, find_function, make_mutants

SECONDS_MAX, CPU_SECONDS_MAX = 300, 60
"""How long the tests of a mutant may take before it counts as killed: it waits, or loops, for ever."""

BROKEN = 70
"""How a process ends that could not run the tests."""

Equivalents: TypeAlias = frozenset[tuple[str, str, str]]
"""The function, the line and the change of each mutant that means the same as the code."""


@dataclass(slots=True)
class Tally:
    """What came of the mutants of one module."""

    killed: int = 0
    equivalent: int = 0
    survivors: list[Mutant] = field(default_factory=list)

    @property
    def count(self) -> int:
        return self.killed + self.equivalent + len(self.survivors)


@dataclass(slots=True, kw_only=True, eq=False)
class MutationRun:
    """A plugin of pytest that runs the collected tests on mutants; `tallies` says by module what came of them."""

    root: Path
    modules: Sequence[str]
    processes: int
    equivalents: Equivalents
    report_survivor: Callable[[Mutant], None]
    report_tally: Callable[[str, Tally], None]
    warm_up: Callable[[], None]
    """Makes, before any fork, what mutants have no part in."""
    tallies: dict[str, Tally] = field(default_factory=dict)
    unused: set[tuple[str, str, str]] = field(default_factory=set)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests on the code as it is, and then on each mutant."""
        if session.testsfailed:
            raise SystemExit("the tests cannot be collected")
        self.warm_up()
        touching = find_touching_tests(session, [str(import_module(name).__file__) for name in self.modules])
        self.unused = set(self.equivalents)
        for name in self.modules:
            self.tallies[name] = self.try_module(session, name, touching)
            self.report_tally(name, self.tallies[name])
        return True

    def try_module(self, session: pytest.Session, name: str, touching: "TouchingTests") -> Tally:
        module, tally, running = import_module(name), Tally(), dict[int, Mutant]()
        for mutant in make_mutants(module, self.root):
            key = (f"{name}.{mutant.function}", mutant.text, mutant.change)
            self.unused.discard(key)
            tests = [session.items[index] for index in touching[str(module.__file__), mutant.function]]
            if key in self.equivalents:
                tally.equivalent += 1
            elif not tests:
                self.count(mutant, tally, is_killed=False)
            else:
                if len(running) >= self.processes:
                    self.wait_for_one(running, tally)
                running[fork_tests(session, name, mutant, tests)] = mutant
        while running:
            self.wait_for_one(running, tally)
        return tally

    def wait_for_one(self, running: dict[int, Mutant], tally: Tally) -> None:
        """Wait for one of the processes, and count what came of its mutant."""
        process, status = os.wait()
        mutant = running.pop(process)
        code = os.waitstatus_to_exitcode(status)
        if code == BROKEN:
            raise SystemExit(f"the tests cannot be run on {mutant}")
        self.count(mutant, tally, is_killed=code != 0)

    def count(self, mutant: Mutant, tally: Tally, *, is_killed: bool) -> None:
        if is_killed:
            tally.killed += 1
        else:
            tally.survivors.append(mutant)
            self.report_survivor(mutant)


TouchingTests: TypeAlias = Mapping[tuple[str, str], Sequence[int]]
"""By file and function, the numbers of the tests that call it, in their order."""


def find_touching_tests(session: pytest.Session, paths: Sequence[str]) -> TouchingTests:
    """Run all tests on the code as it is, in a fork, and note which functions of these files each of them calls.

    What is called while a test is set up is shared with the other tests of its file. Raises SystemExit where one fails.
    """
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        try:
            recorder = CallRecorder(paths=frozenset(paths))
            session.config.pluginmanager.register(recorder)
            threading.setprofile(recorder.note_call)
            sys.setprofile(recorder.note_call)
            status = run_tests(session)
            sys.setprofile(None)
            with os.fdopen(writing, "wb") as file:
                pickle.dump(dict(recorder.tests), file)
            os._exit(status)
        finally:
            os._exit(BROKEN)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        recorded = pickle.loads(file.read() or pickle.dumps({}))
    if os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) != 0:
        raise SystemExit("the tests fail on the code as it is")
    touching = defaultdict[tuple[str, str], list[int]](list)
    for index, item in enumerate(session.items):
        for function in recorded.get(item.nodeid, set()) | recorded.get(str(item.path), set()):
            touching[function].append(index)
    return touching


@dataclass(slots=True, kw_only=True, eq=False)
class CallRecorder:
    """A plugin that notes which functions of some files each test calls, or a file of tests while it is set up."""

    paths: frozenset[str]
    tests: dict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    name: str = ""
    """The test that runs, or the file of the one that is set up."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self.name = str(item.path)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        self.name = item.nodeid

    def note_call(self, frame: FrameType, event: str, _: Any) -> None:
        """Note a call; this is a function for `sys.setprofile`."""
        if event == "call" and frame.f_code.co_filename in self.paths:
            self.tests[self.name].add((frame.f_code.co_filename, frame.f_code.co_qualname))


def fork_tests(session: pytest.Session, name: str, mutant: Mutant, tests: Sequence[pytest.Item]) -> int:
    """Run tests on a mutant in a process of its own, and return its id."""
    process = os.fork()
    if process:
        return process
    signal.alarm(SECONDS_MAX)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS_MAX, CPU_SECONDS_MAX))
    try:
        find_function(import_module(name), mutant.function).__code__ = mutant.code
        session.items[:] = tests
        os._exit(run_tests(session))
    finally:
        os._exit(BROKEN)


def run_tests(session: pytest.Session) -> int:
    """Run the session's tests until one fails, and return 1 where one does; nothing is printed."""
    silence()
    try:
        run_collected_tests(session)
    except (session.Failed, session.Interrupted):
        return 1
    return int(session.testsfailed > 0)


def silence() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
