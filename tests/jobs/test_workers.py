"""Workers of one queue are killed, stopped and paused: no job is lost, and no finished step is executed again."""

import contextlib
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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


class WorkerCrew:
    """Workers in processes of their own."""

    def __init__(self, url: str, folder: Path, lease_seconds: float) -> None:
        self.url, self.folder, self.lease_seconds = url, folder, lease_seconds
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, count: int) -> None:
        """Start workers without waiting for them: jobs wait until they are there."""
        for _ in range(count):
            folder = self.folder / f"worker-{len(self.processes)}"
            folder.mkdir()
            command = [sys.executable, "-m", "tests.jobs.worker_process", self.url, str(folder)]
            command.append(str(self.lease_seconds))
            self.processes.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL))

    def running(self) -> list[subprocess.Popen[bytes]]:
        return [process for process in self.processes if process.poll() is None]

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()


@contextmanager
def open_crew(url: str, folder: Path, lease_seconds: float = QUICK_SETTINGS.lease_seconds) -> Iterator[WorkerCrew]:
    """Open a crew. Tests in which no worker dies give a lease that no load outlasts."""
    crew = WorkerCrew(url, folder, lease_seconds)
    try:
        yield crew
    finally:
        for process in crew.running():
            process.terminate()
        for process in crew.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()


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
    tmp_path: Path, postgresql_started: PostgresqlServer
) -> None:
    url, ledger = postgresql_started.emptied("jobs_three"), tmp_path / "ledger"
    async with open_application(tmp_path, JOBS, url=url, settings=STARTS_ONLY) as app:
        with open_crew(url, tmp_path) as workers:
            workers.start(3)
            await wait_until(lambda: count_workers(app), lambda count: count == 3)
            ids = [
                await app.start("Walk", Walk(ledger=str(ledger), steps=6, seconds=0.3), "finance") for _ in range(12)
            ]
            await wait_until(lambda: read_ledger(ledger), lambda lines: len({line[1] for line in lines}) == 3)
            victim = next(process for process in workers.processes if str(process.pid) == read_ledger(ledger)[-1][1])
            workers.kill(victim)
            rows = [await app.wait_ended(id, LONG_SECONDS) for id in ids]
            again = list_repeated_steps(app.database, ledger)
    assert {(row["state"], row["result"]) for row in rows} == {("SUCCEEDED", '{"steps":6,"sum":"15"}')}
    assert sum(row["takeovers"] for row in rows) > 0
    assert again == []


async def test_a_killed_worker_leaves_no_script_behind(tmp_path: Path, postgresql_started: PostgresqlServer) -> None:
    url = postgresql_started.emptied("jobs_orphans")
    async with open_application(tmp_path, JOBS, url=url, settings=STARTS_ONLY) as app:
        with open_crew(url, tmp_path) as workers:
            workers.start(1)
            id = await app.start("Linger", ScriptInput(), "finance")
            pids = (await wait_until(lambda: app.lines(id), bool))[0][1].split()
            workers.kill(workers.processes[0])
            await wait_until(lambda: alive(pids), lambda left: not left)
            await app.runtime.service.cancel(make_member(app.database), id)
            workers.start(1)
            assert (await app.wait_ended(id))["error"] == "Ada Lovelace cancelled it"
    assert alive(pids) == []


async def test_a_cancelled_job_ends_in_a_worker_elsewhere(tmp_path: Path, postgresql_started: PostgresqlServer) -> None:
    url = postgresql_started.emptied("jobs_cancel")
    async with open_application(tmp_path, JOBS, url=url, settings=STARTS_ONLY) as app:
        with open_crew(url, tmp_path, lease_seconds=60.0) as workers:
            workers.start(1)
            id = await app.start("Linger", ScriptInput(), "finance")
            pids = (await wait_until(lambda: app.lines(id), bool))[0][1].split()
            await app.runtime.service.cancel(make_member(app.database), id)
            await wait_until(lambda: alive(pids), lambda left: not left)
            assert (await app.wait_ended(id))["state"] == "CANCELLED"


async def test_a_stopped_worker_hands_its_jobs_to_the_others(
    tmp_path: Path, postgresql_started: PostgresqlServer
) -> None:
    url, ledger = postgresql_started.emptied("jobs_stop"), tmp_path / "ledger"
    async with open_application(tmp_path, JOBS, url=url, settings=STARTS_ONLY) as app:
        with open_crew(url, tmp_path, lease_seconds=60.0) as workers:
            workers.start(1)
            ids = [await app.start("Walk", Walk(ledger=str(ledger), steps=5, seconds=0.5), "finance") for _ in range(2)]
            await wait_until(lambda: read_ledger(ledger), bool)
            workers.processes[0].terminate()
            workers.start(1)
            rows = [await app.wait_ended(id) for id in ids]
            again = list_repeated_steps(app.database, ledger)
    assert [(row["state"], row["takeovers"]) for row in rows] == [("SUCCEEDED", 0)] * 2
    assert again == []


async def test_a_worker_that_was_only_paused_finishes_no_step_of_a_job_that_others_took(
    tmp_path: Path, postgresql_started: PostgresqlServer
) -> None:
    url, ledger = postgresql_started.emptied("jobs_paused"), tmp_path / "ledger"
    async with open_application(tmp_path, JOBS, url=url, settings=STARTS_ONLY) as app:
        with open_crew(url, tmp_path) as workers:
            workers.start(1)
            id = await app.start("Walk", Walk(ledger=str(ledger), steps=3, seconds=1.0), "finance")
            await wait_until(lambda: read_ledger(ledger), bool)
            paused = workers.processes[0]
            paused.send_signal(signal.SIGSTOP)
            workers.start(1)
            row = await app.wait_ended(id, LONG_SECONDS)
            paused.send_signal(signal.SIGCONT)
            await wait_until(lambda: count_workers(app), lambda count: count == 2)
            after, again = app.row(id), list_repeated_steps(app.database, ledger)
    assert (row["state"], row["result"], row["takeovers"]) == ("SUCCEEDED", '{"steps":3,"sum":"3"}', 1)
    assert (after, again) == (row, [])


async def test_an_application_on_sqlite_that_is_killed_goes_on_when_it_is_opened_again(tmp_path: Path) -> None:
    url, ledger = f"sqlite:///{tmp_path}/state.sqlite", tmp_path / "ledger"
    async with open_application(tmp_path, JOBS, url=url, settings=STARTS_ONLY) as app:
        with open_crew(url, tmp_path) as workers:
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
    tmp_path: Path, postgresql_started: PostgresqlServer, kills_wanted: int
) -> None:
    url, ledger = postgresql_started.emptied("jobs_kills"), tmp_path / "ledger"
    chance, ids, kills = random.Random(7), [], 0
    async with open_application(tmp_path, JOBS, url=url, settings=STARTS_ONLY) as app:
        with open_crew(url, tmp_path) as workers:
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
                victim = [process for process in workers.running() if str(process.pid) == last]
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
