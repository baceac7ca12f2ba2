"""Workers of one queue are killed, stopped and paused: no job is lost, and no finished step is executed again."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from demo.servers.postgresql import PostgresqlServer
from onedoor.jobs.tables import job_step_table, job_worker_table
from onedoor.storage.database import MetadataDatabase
from tests.jobs.application import QUICK_SETTINGS, JobApplication, make_member, open_application, wait_until
from tests.jobs.sample_jobs import JOBS, ScriptInput, Walk, read_ledger
from tests.jobs.test_running import alive

ROOT = Path(__file__).parents[2]
STARTS_ONLY = replace(QUICK_SETTINGS, here=False)
LONG_SECONDS = 300.0
END_SECONDS = 60.0
LONG_LEASE_SECONDS = 20.0
"""A lease that no load outlasts, for tests in which no worker dies; a worker hears of a cancelled job in a quarter."""


class WorkerForker:
    """Forks workers, of which each is a process."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.jobs.worker_process"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def fork(self, url: str, folder: Path, lease_seconds: float) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(url, folder, lease_seconds, file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate()


@pytest.fixture(scope="module")
def forker() -> Iterator[WorkerForker]:
    forker = WorkerForker()
    yield forker
    forker.close()


class WorkerCrew:
    """Workers in processes of their own."""

    def __init__(self, forker: WorkerForker, url: str, folder: Path, lease_seconds: float) -> None:
        self.forker, self.url, self.folder, self.lease_seconds = forker, url, folder, lease_seconds
        self.processes: list[int] = []

    def start(self, count: int) -> None:
        """Start workers without waiting for them: jobs wait until they are there."""
        for _ in range(count):
            folder = self.folder / f"worker-{len(self.processes)}"
            folder.mkdir()
            self.processes.append(self.forker.fork(self.url, folder, self.lease_seconds))

    def running(self) -> list[int]:
        return [int(process) for process in alive(list(map(str, self.processes)))]

    def kill(self, process: int) -> None:
        os.kill(process, signal.SIGKILL)
        self.wait_for_end(process)

    def wait_for_end(self, process: int) -> None:
        deadline = time.monotonic() + END_SECONDS
        while alive([str(process)]) and time.monotonic() < deadline:
            time.sleep(0.01)

    def close(self) -> None:
        for process in self.running():
            os.kill(process, signal.SIGTERM)
        for process in self.processes:
            self.wait_for_end(process)
        for process in self.running():
            self.kill(process)


OpenCrew = Callable[..., AbstractContextManager[WorkerCrew]]


@pytest.fixture
def open_crew(forker: WorkerForker, tmp_path: Path) -> OpenCrew:
    """Open a crew of workers."""

    @contextmanager
    def opened(url: str, lease_seconds: float = QUICK_SETTINGS.lease_seconds) -> Iterator[WorkerCrew]:
        crew = WorkerCrew(forker, url, tmp_path, lease_seconds)
        try:
            yield crew
        finally:
            crew.close()

    return opened


def list_repeated_steps(database: MetadataDatabase, ledger: Path) -> list[tuple[str, str]]:
    """Return the steps that were executed again after they were finished."""
    with database.read_connection() as connection:
        finished = {
            (row.job_id, row.name.replace(" ", "-")): row.at for row in connection.execute(select(job_step_table))
        }
    return [
        (id, step)
        for micros, _, id, step in read_ledger(ledger)
        if (id, step) in finished and int(micros) > finished[id, step].timestamp() * 1_000_000
    ]


def count_workers(app: JobApplication) -> int:
    with app.database.read_connection() as connection:
        return len(connection.execute(select(job_worker_table.c.id)).all())


async def test_one_of_three_workers_is_killed_and_nothing_is_lost(
    tmp_path: Path, postgresql_started: PostgresqlServer, open_crew: OpenCrew
) -> None:
    url, ledger = postgresql_started.emptied("jobs_three"), tmp_path / "ledger"
    async with open_application(tmp_path, JOBS, url=url, settings=STARTS_ONLY) as app:
        with open_crew(url) as workers:
            workers.start(3)
            await wait_until(lambda: count_workers(app), lambda count: count == 3)
            ids = [
                await app.start("Walk", Walk(ledger=str(ledger), steps=6, seconds=0.3), "finance") for _ in range(12)
            ]
            await wait_until(lambda: read_ledger(ledger), lambda lines: len({line[1] for line in lines}) == 3)
            workers.kill(int(read_ledger(ledger)[-1][1]))
            rows = [await app.wait_ended(id, LONG_SECONDS) for id in ids]
            again = list_repeated_steps(app.database, ledger)
    assert {(row["state"], row["result"]) for row in rows} == {("SUCCEEDED", '{"steps":6,"sum":"15"}')}
    assert sum(row["takeovers"] for row in rows) > 0
    assert again == []


async def test_a_killed_worker_leaves_no_script_behind(
    tmp_path: Path, postgresql_started: PostgresqlServer, open_crew: OpenCrew
) -> None:
    url = postgresql_started.emptied("jobs_orphans")
    async with open_application(tmp_path, JOBS, url=url, settings=STARTS_ONLY) as app:
        with open_crew(url) as workers:
            workers.start(1)
            id = await app.start("Linger", ScriptInput(), "finance")
            pids = (await wait_until(lambda: app.lines(id), bool))[0][1].split()
            workers.kill(workers.processes[0])
            await wait_until(lambda: alive(pids), lambda left: not left)
            await app.runtime.service.cancel(make_member(app.database), id)
            workers.start(1)
            assert (await app.wait_ended(id))["error"] == "Ada Lovelace cancelled it"
    assert alive(pids) == []


async def test_a_cancelled_job_ends_in_a_worker_elsewhere(
    tmp_path: Path, postgresql_started: PostgresqlServer, open_crew: OpenCrew
) -> None:
    url = postgresql_started.emptied("jobs_cancel")
    async with open_application(tmp_path, JOBS, url=url, settings=STARTS_ONLY) as app:
        with open_crew(url, lease_seconds=LONG_LEASE_SECONDS) as workers:
            workers.start(1)
            id = await app.start("Linger", ScriptInput(), "finance")
            pids = (await wait_until(lambda: app.lines(id), bool))[0][1].split()
            await app.runtime.service.cancel(make_member(app.database), id)
            await wait_until(lambda: alive(pids), lambda left: not left)
            assert (await app.wait_ended(id))["state"] == "CANCELLED"


async def test_a_stopped_worker_hands_its_jobs_to_the_others(
    tmp_path: Path, postgresql_started: PostgresqlServer, open_crew: OpenCrew
) -> None:
    url, ledger = postgresql_started.emptied("jobs_stop"), tmp_path / "ledger"
    async with open_application(tmp_path, JOBS, url=url, settings=STARTS_ONLY) as app:
        with open_crew(url, lease_seconds=LONG_LEASE_SECONDS) as workers:
            workers.start(1)
            ids = [await app.start("Walk", Walk(ledger=str(ledger), steps=5, seconds=0.5), "finance") for _ in range(2)]
            await wait_until(lambda: read_ledger(ledger), bool)
            os.kill(workers.processes[0], signal.SIGTERM)
            workers.start(1)
            rows = [await app.wait_ended(id) for id in ids]
            again = list_repeated_steps(app.database, ledger)
    assert [(row["state"], row["takeovers"]) for row in rows] == [("SUCCEEDED", 0)] * 2
    assert again == []


async def test_a_worker_that_was_only_paused_finishes_no_step_of_a_job_that_others_took(
    tmp_path: Path, postgresql_started: PostgresqlServer, open_crew: OpenCrew
) -> None:
    url, ledger = postgresql_started.emptied("jobs_paused"), tmp_path / "ledger"
    async with open_application(tmp_path, JOBS, url=url, settings=STARTS_ONLY) as app:
        with open_crew(url) as workers:
            workers.start(1)
            id = await app.start("Walk", Walk(ledger=str(ledger), steps=3, seconds=1.0), "finance")
            await wait_until(lambda: read_ledger(ledger), bool)
            paused = workers.processes[0]
            os.kill(paused, signal.SIGSTOP)
            workers.start(1)
            row = await app.wait_ended(id, LONG_SECONDS)
            os.kill(paused, signal.SIGCONT)
            await wait_until(lambda: count_workers(app), lambda count: count == 2)
            after, again = app.row(id), list_repeated_steps(app.database, ledger)
    assert (row["state"], row["result"], row["takeovers"]) == ("SUCCEEDED", '{"steps":3,"sum":"3"}', 1)
    assert (after, again) == (row, [])


async def test_an_application_on_sqlite_that_is_killed_goes_on_when_it_is_opened_again(
    tmp_path: Path, open_crew: OpenCrew
) -> None:
    url, ledger = f"sqlite:///{tmp_path}/state.sqlite", tmp_path / "ledger"
    async with open_application(tmp_path, JOBS, url=url, settings=STARTS_ONLY) as app:
        with open_crew(url, lease_seconds=1.5) as workers:
            walk = Walk(ledger=str(ledger), steps=4, seconds=0.2)
            ids = [await app.start("Walk", walk, "finance") for _ in range(3)]
            for kills in range(3):
                workers.start(1)
                await wait_until(lambda far=3 * kills: len(read_ledger(ledger)) > far, bool, LONG_SECONDS)
                workers.kill(workers.processes[-1])
            workers.start(1)
            rows = [await app.wait_ended(id, LONG_SECONDS) for id in ids]
            again = list_repeated_steps(app.database, ledger)
    assert {(row["state"], row["result"]) for row in rows} == {("SUCCEEDED", '{"steps":4,"sum":"6"}')}
    assert again == []


@pytest.mark.long
@pytest.mark.parametrize("kills_wanted", [20, 100])
async def test_kills_at_any_moment_lose_nothing_and_repeat_no_finished_step(
    tmp_path: Path, postgresql_started: PostgresqlServer, open_crew: OpenCrew, kills_wanted: int
) -> None:
    url, ledger = postgresql_started.emptied("jobs_kills"), tmp_path / "ledger"
    chance, ids, kills = random.Random(7), [], 0
    async with open_application(tmp_path, JOBS, url=url, settings=STARTS_ONLY) as app:
        with open_crew(url) as workers:
            while kills < kills_wanted:
                workers.start(3 - len(workers.running()))
                walk = Walk(ledger=str(ledger), steps=4, seconds=0.05, key=str(kills % 3))
                ids += [
                    await app.start(name, walk, "finance", idempotency_key=f"{kills} {name}")
                    for name in ("Walk", "WalkAlone")
                ]
                seen = len(read_ledger(ledger))
                far = seen + chance.randrange(1, 6)
                await wait_until(
                    lambda far=far: len(read_ledger(ledger)), lambda count, far=far: count >= far, LONG_SECONDS
                )
                last = read_ledger(ledger)[-1][1]
                victim = [process for process in workers.running() if str(process) == last]
                for item in victim:
                    workers.kill(item)
                    kills += 1
            workers.start(3 - len(workers.running()))
            rows = [await app.wait_ended(id, LONG_SECONDS) for id in ids]
            again = list_repeated_steps(app.database, ledger)
        text = f"{kills} kills, {len(ids)} jobs, {sum(row['takeovers'] for row in rows)} taken over"
    print(text)
    assert {(row["state"], row["result"]) for row in rows} == {("SUCCEEDED", '{"steps":4,"sum":"6"}')}, text
    assert again == []
    assert len(ids) == len(set(ids))
