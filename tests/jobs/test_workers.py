"""Several workers of one queue on PostgreSQL, of which some are killed: nothing is lost, no finished step repeated."""

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sqlalchemy import select

from demo.servers.postgresql import PostgresqlServer
from onedoor.jobs.tables import job_step_table, job_worker_table
from onedoor.storage.database import MetadataDatabase
from tests.jobs.declared import JOBS, Said, Walk, read
from tests.jobs.houses import QUICK, House, house, member, until
from tests.jobs.test_running import alive

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("JOBKILLS", "20"))
STARTS_ONLY = replace(QUICK, here=False)
LONG_SECONDS = 300.0


class Crew:
    """Workers as processes of their own."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.processes: list[subprocess.Popen[bytes]] = []

    def hire(self, count: int) -> None:
        """Not waited for: jobs wait until they are there."""
        for _ in range(count):
            folder = self.folder / f"worker-{len(self.processes)}"
            folder.mkdir()
            command = [sys.executable, "-m", "tests.jobs.worker", self.url, str(folder)]
            self.processes.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL))

    def running(self) -> list[subprocess.Popen[bytes]]:
        return [each for each in self.processes if each.poll() is None]

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()


@contextmanager
def crew(url: str, folder: Path) -> Iterator[Crew]:
    made = Crew(url, folder)
    try:
        yield made
    finally:
        for each in made.running():
            each.terminate()
        for each in made.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                each.wait(20)
            each.kill()


def repeated(state: MetadataDatabase, ledger: Path) -> list[tuple[str, str]]:
    """Steps that began again after they were finished."""
    with state.read_connection() as connection:
        finished = {
            (row.job_id, row.name.replace(" ", "-")): row.at for row in connection.execute(select(job_step_table))
        }
    return [
        (id, step)
        for micros, _, id, step in read(ledger)
        if (id, step) in finished and int(micros) > finished[id, step].timestamp() * 1_000_000
    ]


def workers(at: House) -> int:
    with at.state.read_connection() as connection:
        return len(connection.execute(select(job_worker_table.c.id)).all())


async def test_one_of_three_workers_is_killed_and_nothing_is_lost(
    tmp_path: Path, postgresql_started: PostgresqlServer
) -> None:
    url, ledger = postgresql_started.emptied("jobs_three"), tmp_path / "ledger"
    async with house(tmp_path, JOBS, url=url, running=STARTS_ONLY) as at:
        with crew(url, tmp_path) as hired:
            hired.hire(3)
            await until(lambda: workers(at), lambda count: count == 3)
            ids = [await at.start("Walk", Walk(ledger=str(ledger), steps=6, seconds=0.3), "finance") for _ in range(12)]
            await until(lambda: read(ledger), lambda lines: len({each[1] for each in lines}) == 3)
            victim = next(each for each in hired.processes if str(each.pid) == read(ledger)[-1][1])
            hired.kill(victim)
            rows = [await at.ended(id, LONG_SECONDS) for id in ids]
            again = repeated(at.state, ledger)
    assert {(row["state"], row["result"]) for row in rows} == {("SUCCEEDED", '{"steps":6,"sum":"15"}')}
    assert sum(row["takeovers"] for row in rows) > 0
    assert again == []


async def test_a_killed_worker_leaves_no_script_behind(tmp_path: Path, postgresql_started: PostgresqlServer) -> None:
    url = postgresql_started.emptied("jobs_orphans")
    async with house(tmp_path, JOBS, url=url, running=STARTS_ONLY) as at:
        with crew(url, tmp_path) as hired:
            hired.hire(1)
            id = await at.start("Linger", Said(), "finance")
            pids = (await until(lambda: at.lines(id), bool))[0][1].split()
            hired.kill(hired.processes[0])
            await until(lambda: alive(pids), lambda left: not left, 10.0)
            await at.works.service.cancel(member(at.state), id)
            hired.hire(1)
            assert (await at.ended(id))["error"] == "Ada Lovelace cancelled it"
    assert alive(pids) == []


async def test_a_cancel_is_heard_by_a_worker_elsewhere(tmp_path: Path, postgresql_started: PostgresqlServer) -> None:
    url = postgresql_started.emptied("jobs_cancel")
    async with house(tmp_path, JOBS, url=url, running=STARTS_ONLY) as at:
        with crew(url, tmp_path) as hired:
            hired.hire(1)
            id = await at.start("Linger", Said(), "finance")
            pids = (await until(lambda: at.lines(id), bool))[0][1].split()
            await at.works.service.cancel(member(at.state), id)
            await until(lambda: alive(pids), lambda left: not left, 4.0)
            assert (await at.ended(id))["state"] == "CANCELLED"


async def test_a_stopped_worker_hands_its_jobs_to_the_others(
    tmp_path: Path, postgresql_started: PostgresqlServer
) -> None:
    url, ledger = postgresql_started.emptied("jobs_stop"), tmp_path / "ledger"
    async with house(tmp_path, JOBS, url=url, running=STARTS_ONLY) as at:
        with crew(url, tmp_path) as hired:
            hired.hire(1)
            ids = [await at.start("Walk", Walk(ledger=str(ledger), steps=5, seconds=0.5), "finance") for _ in range(2)]
            await until(lambda: read(ledger), bool)
            hired.processes[0].terminate()
            hired.hire(1)
            rows = [await at.ended(id) for id in ids]
            again = repeated(at.state, ledger)
    assert [(row["state"], row["takeovers"]) for row in rows] == [("SUCCEEDED", 0)] * 2
    assert again == []


async def test_a_worker_that_was_only_paused_finishes_no_step_of_a_job_that_others_took(
    tmp_path: Path, postgresql_started: PostgresqlServer
) -> None:
    url, ledger = postgresql_started.emptied("jobs_paused"), tmp_path / "ledger"
    async with house(tmp_path, JOBS, url=url, running=STARTS_ONLY) as at:
        with crew(url, tmp_path) as hired:
            hired.hire(1)
            id = await at.start("Walk", Walk(ledger=str(ledger), steps=3, seconds=1.0), "finance")
            await until(lambda: read(ledger), bool)
            paused = hired.processes[0]
            paused.send_signal(signal.SIGSTOP)
            hired.hire(1)
            row = await at.ended(id, LONG_SECONDS)
            paused.send_signal(signal.SIGCONT)
            await until(lambda: workers(at), lambda count: count == 2)
            after, again = at.row(id), repeated(at.state, ledger)
    assert (row["state"], row["result"], row["takeovers"]) == ("SUCCEEDED", '{"steps":3,"sum":"3"}', 1)
    assert (after, again) == (row, [])


async def test_a_house_on_sqlite_that_is_killed_goes_on_when_it_is_opened_again(tmp_path: Path) -> None:
    url, ledger = f"sqlite:///{tmp_path}/state.sqlite", tmp_path / "ledger"
    async with house(tmp_path, JOBS, url=url, running=STARTS_ONLY) as at:
        with crew(url, tmp_path) as hired:
            walk = Walk(ledger=str(ledger), steps=4, seconds=0.2)
            ids = [await at.start("Walk", walk, "finance") for _ in range(3)]
            for kills in range(3):
                hired.hire(1)
                await until(lambda far=3 * kills: len(read(ledger)) > far, bool, LONG_SECONDS)
                hired.kill(hired.processes[-1])
            hired.hire(1)
            rows = [await at.ended(id, LONG_SECONDS) for id in ids]
            again = repeated(at.state, ledger)
    assert {(row["state"], row["result"]) for row in rows} == {("SUCCEEDED", '{"steps":4,"sum":"6"}')}
    assert again == []


async def test_kills_lose_nothing_and_repeat_no_finished_step(
    tmp_path: Path, postgresql_started: PostgresqlServer
) -> None:
    """JOBKILLS=100 on demand."""
    url, ledger = postgresql_started.emptied("jobs_kills"), tmp_path / "ledger"
    chance, ids, kills = random.Random(7), [], 0
    async with house(tmp_path, JOBS, url=url, running=STARTS_ONLY) as at:
        with crew(url, tmp_path) as hired:
            while kills < KILLS:
                hired.hire(3 - len(hired.running()))
                walk = Walk(ledger=str(ledger), steps=4, seconds=0.05, key=str(kills % 3))
                ids += [
                    await at.start(name, walk, "finance", idempotency_key=f"{kills} {name}")
                    for name in ("Walk", "WalkAlone")
                ]
                seen = len(read(ledger))
                far = seen + chance.randrange(1, 6)
                await until(lambda far=far: len(read(ledger)), lambda count, far=far: count >= far, LONG_SECONDS)
                last = read(ledger)[-1][1]
                victim = [each for each in hired.running() if str(each.pid) == last]
                for each in victim:
                    hired.kill(each)
                    kills += 1
            hired.hire(3 - len(hired.running()))
            rows = [await at.ended(id, LONG_SECONDS) for id in ids]
            again = repeated(at.state, ledger)
        told = f"{kills} kills, {len(ids)} jobs, {sum(row['takeovers'] for row in rows)} taken over"
    print(told)
    assert {(row["state"], row["result"]) for row in rows} == {("SUCCEEDED", '{"steps":4,"sum":"6"}')}, told
    assert again == []
    assert len(ids) == len(set(ids))
