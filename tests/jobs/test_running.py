"""A job in this process, on SQLite: started, run, ended."""

import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from auth import users
from jobs.catalogue import PrintLabelsInput
from jobs.invoices import RebuildInvoicesInput
from jobs.traffic import SurveyUsageInput
from onedoor.errors import ConnectorError, ErrorCode
from tests import acme
from tests.jobs.declared import JOBS, Question, Said, Walk, read
from tests.jobs.houses import QUICK, House, house, member, until

HOSTILE = (
    "; rm -rf /",
    "$(touch pwned)",
    "`id`",
    "a\nb\r\n--flag",
    "'\"\\ && true | cat > x",
    "é ü 漢字 \U0001f600",
    "-rf",
    "\u202eabc",
    "%s%n{0}",
    "x" * 100_000,
)


async def test_the_jobs_of_the_company_run(tmp_path: Path) -> None:
    async with house(tmp_path, acme.company().jobs, built=acme.house) as at:
        made = [
            await at.start("RebuildInvoices", RebuildInvoicesInput(customer=3), "finance"),
            await at.start("PrintLabels", PrintLabelsInput(skus=("A-1", "B-2")), "sales"),
            await at.start("SurveyUsage", SurveyUsageInput(page=30), "sales"),
        ]
        ended = [await at.ended(id) for id in made]
        invoices = at.file(made[0], "invoices-3.csv")
    assert [(row["state"], json.loads(row["result"])) for row in ended] == [
        ("SUCCEEDED", {"invoices": 23, "total": "101474.98", "file": "invoices-3.csv"}),
        ("SUCCEEDED", {"labels": 2, "file": "labels.txt"}),
        ("SUCCEEDED", {"customers": 100, "idle": 2}),
    ]
    assert invoices is not None
    assert invoices.startswith(b"order,placed,line,sku,quantity,unit price,total\n")


async def test_what_a_job_asks_leaves_a_record_each(tmp_path: Path) -> None:
    async with house(tmp_path, JOBS) as at:
        id = await at.start("Ask", Question(text="{ me { groups } }"), "finance")
        assert (await at.ended(id))["state"] == "SUCCEEDED"
        assert at.lines(id) == [("LOG", "{'me': {'groups': ['everyone', 'finance']}}")]
        starter = at.row(id)["person_id"]
    lines = [each for file in (tmp_path / "records").iterdir() for each in file.read_text().splitlines()]
    (kept,) = [each for each in map(json.loads, lines) if "surface" in each]
    assert (kept["surface"], kept["person"], kept["client_request_id"]) == ("job", starter, f"job {id}")


async def test_a_job_by_a_low_key_cannot_read_a_guarded_field(tmp_path: Path) -> None:
    asks = Question(text="{ employees(first: 1) { nodes { salary } } }")
    async with house(tmp_path, JOBS, built=acme.house) as at:
        low = await at.ended(await at.start("Ask", asks))
        high = await at.ended(await at.start("Ask", asks, "people"))
    assert (low["state"], "salary" in low["error"]) == ("FAILED", True)
    assert high["state"] == "SUCCEEDED"


async def test_nobody_starts_a_job_without_one_of_its_groups(tmp_path: Path) -> None:
    async with house(tmp_path, JOBS) as at:
        with pytest.raises(ConnectorError) as refused:
            await at.start("Crash", Said(), "sales")
        with pytest.raises(ConnectorError) as unknown:
            await at.start("Nothing", Said(), "sales")
    assert (refused.value.code, unknown.value.code) == (ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND)


@pytest.mark.parametrize("how", ["leaves the group", "is deactivated"])
async def test_whoever_may_not_any_more_is_refused_at_the_next_step(tmp_path: Path, how: str) -> None:
    ledger = tmp_path / "ledger"
    async with house(tmp_path, JOBS) as at:
        id = await at.start("Walk", Walk(ledger=str(ledger), steps=2, seconds=1.0), "finance")
        await until(lambda: read(ledger), bool)
        if how == "is deactivated":
            users.deactivate_user(at.state, "ada@acme.example")
        else:
            users.leave_group(at.state, "ada@acme.example", "finance")
        row = await at.ended(id)
    assert row["state"] == "REFUSED"
    assert row["error"] in ("who started it is in none of the groups that may: `finance`", "who started it is shut out")
    assert [each[3] for each in read(ledger)] == ["step-0"]


async def test_the_same_key_is_the_same_job_and_another_input_an_error(tmp_path: Path) -> None:
    ledger = str(tmp_path / "ledger")
    async with house(tmp_path, JOBS) as at:
        ids = [await at.start("Walk", Walk(ledger=ledger), "finance", idempotency_key="k") for _ in range(3)]
        with pytest.raises(ConnectorError) as reused:
            await at.start("Walk", Walk(ledger=ledger, steps=4), "finance", idempotency_key="k")
        await at.ended(ids[0])
        ids.append(await at.start("Walk", Walk(ledger=ledger), "finance", idempotency_key="k"))
    assert len(set(ids)) == 1
    assert reused.value.code is ErrorCode.IDEMPOTENCY_KEY_REUSED
    assert len(read(Path(ledger))) == 3


async def test_a_failed_attempt_is_made_again_without_its_finished_steps(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with house(tmp_path, JOBS) as at:
        good = await at.ended(await at.start("Walk", Walk(ledger=str(ledger), fails=2), "finance"))
        bad = await at.ended(await at.start("Walk", Walk(ledger=f"{ledger}.2", fails=3), "finance"))
    assert (good["state"], good["attempts"], json.loads(good["result"])) == ("SUCCEEDED", 3, {"steps": 3, "sum": "3"})
    assert (bad["state"], bad["attempts"], bad["error"]) == ("FAILED", 3, "not yet")
    assert [each[3] for each in read(ledger)] == ["step-0", "step-1", "step-2"]


async def test_an_attempt_past_its_timeout_ends(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with house(tmp_path, JOBS) as at:
        row = await at.ended(await at.start("Hurry", Walk(ledger=str(ledger)), "finance"))
    assert (row["state"], row["error"]) == ("FAILED", "it took longer than its timeout of 0.3 seconds")
    assert [each[3] for each in read(ledger)] == ["began", "ended"]


async def test_an_error_of_its_own_tells_nothing_of_its_values(tmp_path: Path) -> None:
    async with house(tmp_path, JOBS) as at:
        id = await at.start("Crash", Said(text="hunter2"), "finance")
        row = await at.ended(id)
        assert at.lines(id) == []
    assert (row["state"], row["error"]) == ("FAILED", "it failed; where is in the log of who runs it")


async def test_one_of_a_key_runs_at_a_time_and_in_order(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with house(tmp_path, JOBS) as at:
        walk = Walk(ledger=str(ledger), steps=2, seconds=0.1, key="c1")
        ids = [await at.start("WalkAlone", walk, "finance") for _ in range(3)]
        assert [at.row(id)["state"] for id in ids[1:]] == ["WAITING", "WAITING"]
        for id in ids:
            await at.ended(id)
    assert [each[2] for each in read(ledger)] == [id for id in ids for _ in range(2)]


async def test_a_cancelled_job_ends_where_it_waits(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with house(tmp_path, JOBS) as at:
        ids = [await at.start("Sleep", Walk(ledger=str(ledger)), "finance") for _ in range(2)]
        await until(lambda: read(ledger), lambda lines: len(lines) == 2)
        for id in ids:
            await at.works.service.cancel(member(at.state), id)
        rows = [await at.ended(id) for id in ids]
        await at.works.service.cancel(member(at.state), ids[0])
        with pytest.raises(ConnectorError) as hidden:
            await at.works.service.cancel(member(at.state, "sales", email="eve@acme.example"), ids[0])
    assert [(row["state"], row["error"]) for row in rows] == [("CANCELLED", "Ada Lovelace cancelled it")] * 2
    assert sorted(each[3] for each in read(ledger)) == ["began", "began", "stopped", "stopped"]
    assert hidden.value.code is ErrorCode.NOT_FOUND


async def test_a_waiting_job_is_cancelled_at_once_and_the_next_has_its_turn(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with house(tmp_path, JOBS) as at:
        walk = Walk(ledger=str(ledger), steps=1, seconds=0.5, key="c1")
        first, second, third = [await at.start("WalkAlone", walk, "finance") for _ in range(3)]
        await at.works.service.cancel(member(at.state), second)
        assert at.row(second)["state"] == "CANCELLED"
        assert [(await at.ended(id))["state"] for id in (first, third)] == ["SUCCEEDED", "SUCCEEDED"]


async def test_parts_run_beside_their_whole_and_end_with_it(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with house(tmp_path, JOBS) as at:
        whole = Walk(ledger=str(ledger), steps=6)
        rows = [await at.ended(await at.start("Whole", whole, "finance")) for _ in range(2)]
        assert [json.loads(row["result"]) for row in rows] == [{"steps": 36, "sum": "6"}] * 2
        slow = await at.start("Whole", Walk(ledger=f"{ledger}.2", steps=2, seconds=3600.0), "finance")
        await until(lambda: read(Path(f"{ledger}.2")), lambda lines: len(lines) == 2)
        await at.works.service.cancel(member(at.state), slow)
        assert (await at.ended(slow))["state"] == "CANCELLED"
        assert {(await at.ended(each[2]))["state"] for each in read(Path(f"{ledger}.2"))} == {"CANCELLED"}


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_arguments_reach_a_script_as_they_are(tmp_path: Path, text: str) -> None:
    async with house(tmp_path, JOBS) as at:
        id = await at.start("Echo", Said(text=text, number=-3), "finance")
        row = await at.ended(id)
        assert json.loads(row["result"]) == {"text": text, "number": -3}
        assert at.file(id, "echo.txt") == text.encode()


async def test_a_script_sees_its_folder_and_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEDOOR_PEPPER", "secret")
    async with house(tmp_path, JOBS) as at:
        row = await at.ended(await at.start("Spy", Said(number=1), "finance"))
    seen = json.loads(json.loads(row["result"])["text"])
    assert seen == {
        "environment": ["HOME", "LANG", "PATH", "TMPDIR"],
        "folder": ["files"],
        "arguments": [],
        "files": ["0", "1", "2", "3"],
    }


async def test_a_script_past_its_bounds_is_ended(tmp_path: Path) -> None:
    async with house(tmp_path, JOBS) as at:
        row = await at.ended(await at.start("Spin", Said(), "finance"))
    assert (row["state"], row["error"]) == ("FAILED", "it used more CPU time than it may")


async def test_cancelling_a_script_ends_all_it_started_within_two_seconds(tmp_path: Path) -> None:
    async with house(tmp_path, JOBS) as at:
        id = await at.start("Linger", Said(), "finance")
        pids = (await until(lambda: at.lines(id), bool))[0][1].split()
        began = time.monotonic()
        await at.works.service.cancel(member(at.state), id)
        await until(lambda: alive(pids), lambda left: not left)
        took = time.monotonic() - began
        assert (await at.ended(id))["state"] == "CANCELLED"
    assert took < 2.0


async def test_a_house_that_closes_leaves_no_script_and_its_job_to_the_next(tmp_path: Path) -> None:
    async with house(tmp_path, JOBS) as at:
        id = await at.start("Linger", Said(), "finance")
        pids = (await until(lambda: at.lines(id), bool))[0][1].split()
    assert alive(pids) == []
    async with house(tmp_path, JOBS) as at:
        lines = await until(lambda: at.lines(id), lambda lines: len(lines) == 2)
        await at.works.service.cancel(member(at.state), id)
        assert (await at.ended(id))["state"] == "CANCELLED"
    assert lines[1] != lines[0]


async def test_a_job_is_started_once_on_schedule_by_its_service_person(tmp_path: Path) -> None:
    from onedoor.jobs.declarations import Schedule
    from tests.jobs.declared import FINANCE, job, walk

    ledger = tmp_path / "ledger"
    clock = [datetime(2026, 11, 1, 4, 59, 59, tzinfo=UTC)]
    schedule = Schedule(
        cron="0 5 * * *", service_account="books", groups=FINANCE, input=Walk(ledger=str(ledger), steps=1)
    )
    nightly = job("Nightly", walk, Walk, schedule=schedule)
    async with house(tmp_path, (nightly,), now=lambda: clock[0], at_once=True) as at:
        await until(lambda: at.works.worker.scheduled_until, bool)
        assert rows(at) == []
        for hour in (5, 5, 29, 29):
            clock[0] = datetime(2026, 11, 1 + hour // 24, hour % 24, 0, 5, tzinfo=UTC)
            await until(lambda: at.works.worker.scheduled_until, lambda seen: seen == clock[0])
        ids = [row["id"] for row in rows(at)]
        ended = [await at.ended(id) for id in ids]
    assert [(row["state"], row["person_id"], row["reason"]) for row in ended] == [
        ("SUCCEEDED", "service:books", "on schedule, for 2026-11-01T05:00:00+00:00"),
        ("SUCCEEDED", "service:books", "on schedule, for 2026-11-02T05:00:00+00:00"),
    ]


async def test_the_last_lines_are_kept_and_a_long_one_is_cut_off(tmp_path: Path) -> None:
    async with house(tmp_path, JOBS, running=replace(QUICK, lines=3, line_characters=5)) as at:
        id = await at.start("Say", Said(text="\n".join(f"line {each}\x1b" for each in range(9)), number=1), "finance")
        await at.ended(id)
        assert at.lines(id) == [("LOG", "line "), ("LOG", "line "), ("LOG", "line ")]
        assert at.row(id)["lines"] == 9


async def test_a_person_has_a_bounded_number_of_open_jobs(tmp_path: Path) -> None:
    async with house(tmp_path, JOBS, running=replace(QUICK, open_most=2, here=False)) as at:
        for _ in range(2):
            await at.start("Crash", Said(), "finance")
        with pytest.raises(ConnectorError, match=r"the limit `jobs\.open_most` of 2") as many:
            await at.start("Crash", Said(), "finance")
    assert many.value.code is ErrorCode.LIMIT_EXCEEDED


async def test_a_job_that_is_declared_anew_ends_with_a_sentence(tmp_path: Path) -> None:
    ledger = str(tmp_path / "ledger")
    async with house(tmp_path, JOBS, running=replace(QUICK, here=False)) as at:
        same = await at.start("Walk", Walk(ledger=ledger, steps=1), "finance")
        other = await at.start("Crash", Said(), "finance")
    anew = tuple(replace(each, input=Question) if each.name == "Crash" else each for each in JOBS)
    async with house(tmp_path, anew) as at:
        assert (await at.ended(same))["state"] == "SUCCEEDED"
        assert (await at.ended(other))["error"] == (
            "what it takes or gives was declared anew since it was started: start it again"
        )


async def test_who_listens_is_told_of_every_change(tmp_path: Path) -> None:
    async with house(tmp_path, JOBS) as at:
        id = await at.start("Walk", Walk(ledger=str(tmp_path / "ledger"), steps=2, seconds=0.3), "finance")
        before = at.row(id)
        await at.ended(id)
        await until(lambda: at.heard.ids, lambda ids: len(ids) >= 6)
        after = at.row(id)
    assert set(at.heard.ids) == {id}
    assert (before["done"], after["state"], after["done"]) == (None, "SUCCEEDED", 2.0)


def rows(at: House) -> list[dict[str, object]]:
    from sqlalchemy import select

    from onedoor.jobs.tables import job_table as job

    with at.state.read_connection() as connection:
        return [dict(row._mapping) for row in connection.execute(select(job).order_by(job.c.created_at))]


def alive(pids: list[str]) -> list[str]:
    found = []
    for pid in pids:
        try:
            os.kill(int(pid), 0)
            status = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            continue
        if status != "Z":
            found.append(pid)
    return found
