"""Jobs in this process, on SQLite, are started, run and ended."""

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
from onedoor.audit.reader import read_records
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.jobs.declarations import Schedule
from tests import acme
from tests.jobs.application import QUICK_SETTINGS, make_member, open_application, wait_until
from tests.jobs.sample_jobs import FINANCE, JOBS, Question, ScriptInput, Walk, declare_job, read_ledger, walk

MARGIN = 10.0
"""What a busy machine may take on top."""
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
    async with open_application(tmp_path, acme.company().jobs, build_catalog=acme.build_catalog) as app:
        job_ids = [
            await app.start("RebuildInvoices", RebuildInvoicesInput(customer=3), "finance"),
            await app.start("PrintLabels", PrintLabelsInput(skus=("A-1", "B-2")), "sales"),
            await app.start("SurveyUsage", SurveyUsageInput(page=30), "sales"),
        ]
        ended = [await app.wait_ended(id) for id in job_ids]
        invoices = app.file(job_ids[0], "invoices-3.csv")
    assert [(row["state"], json.loads(row["result"])) for row in ended] == [
        ("SUCCEEDED", {"invoices": 23, "total": "101474.98", "file": "invoices-3.csv"}),
        ("SUCCEEDED", {"labels": 2, "file": "labels.txt"}),
        ("SUCCEEDED", {"customers": 100, "idle": 2}),
    ]
    assert invoices is not None
    assert invoices.startswith(b"order,placed,line,sku,quantity,unit price,total\n")


async def test_each_query_of_a_job_leaves_a_record(tmp_path: Path) -> None:
    async with open_application(tmp_path, JOBS) as app:
        id = await app.start("Ask", Question(text="{ me { groups } }"), "finance")
        assert (await app.wait_ended(id))["state"] == "SUCCEEDED"
        assert app.lines(id) == [("LOG", "{'me': {'groups': ['everyone', 'finance']}}")]
        starter = app.row(id)["person_id"]
    lines = [line for file in (tmp_path / "records").iterdir() for line in file.read_text().splitlines()]
    (log_record,) = [item for item in map(json.loads, lines) if item.get("text")]
    assert (log_record["surface"], log_record["person"], log_record["client_request_id"]) == (
        "job",
        starter,
        f"job {id}",
    )


async def test_a_job_cannot_read_a_field_that_is_denied_to_whoever_started_it(tmp_path: Path) -> None:
    asks = Question(text="{ employees(first: 1) { nodes { salary } } }")
    async with open_application(tmp_path, JOBS, build_catalog=acme.build_catalog) as app:
        low = await app.wait_ended(await app.start("Ask", asks))
        high = await app.wait_ended(await app.start("Ask", asks, "people"))
    assert (low["state"], "salary" in low["error"]) == ("FAILED", True)
    assert high["state"] == "SUCCEEDED"


async def test_nobody_starts_a_job_without_one_of_its_groups(tmp_path: Path) -> None:
    async with open_application(tmp_path, JOBS) as app:
        with pytest.raises(ConnectorError) as refused:
            await app.start("Crash", ScriptInput(), "sales")
        with pytest.raises(ConnectorError) as unknown:
            await app.start("Nothing", ScriptInput(), "sales")
    assert (refused.value.code, unknown.value.code) == (ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND)


@pytest.mark.parametrize("how", ["leaves the group", "is deactivated"])
async def test_a_job_is_refused_at_its_next_step_once_its_starter_may_not_start_it(tmp_path: Path, how: str) -> None:
    ledger = tmp_path / "ledger"
    async with open_application(tmp_path, JOBS) as app:
        id = await app.start("Walk", Walk(ledger=str(ledger), steps=2, seconds=1.0), "finance")
        await wait_until(lambda: read_ledger(ledger), bool)
        if how == "is deactivated":
            users.deactivate_user(app.database, "ada@acme.example")
        else:
            users.leave_group(app.database, "ada@acme.example", "finance")
        row = await app.wait_ended(id)
    assert row["state"] == "REFUSED"
    assert row["error"] in (
        "whoever started it is in none of the groups that may start it: `finance`",
        "the account of whoever started it is deactivated",
    )
    assert [entry[3] for entry in read_ledger(ledger)] == ["step-0"]


async def test_the_same_key_is_the_same_job_and_another_input_an_error(tmp_path: Path) -> None:
    ledger = str(tmp_path / "ledger")
    async with open_application(tmp_path, JOBS) as app:
        ids = [await app.start("Walk", Walk(ledger=ledger), "finance", idempotency_key="k") for _ in range(3)]
        with pytest.raises(ConnectorError) as reused:
            await app.start("Walk", Walk(ledger=ledger, steps=4), "finance", idempotency_key="k")
        await app.wait_ended(ids[0])
        ids.append(await app.start("Walk", Walk(ledger=ledger), "finance", idempotency_key="k"))
    assert len(set(ids)) == 1
    assert reused.value.code is ErrorCode.IDEMPOTENCY_KEY_REUSED
    assert len(read_ledger(Path(ledger))) == 3


async def test_a_failed_attempt_is_made_again_without_its_finished_steps(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with open_application(tmp_path, JOBS) as app:
        good = await app.wait_ended(await app.start("Walk", Walk(ledger=str(ledger), fails=2), "finance"))
        bad = await app.wait_ended(await app.start("Walk", Walk(ledger=f"{ledger}.2", fails=3), "finance"))
    assert (good["state"], good["attempts"], json.loads(good["result"])) == ("SUCCEEDED", 3, {"steps": 3, "sum": "3"})
    assert (bad["state"], bad["attempts"], bad["error"]) == ("FAILED", 3, "not yet")
    assert [entry[3] for entry in read_ledger(ledger)] == ["step-0", "step-1", "step-2"]


async def test_an_attempt_past_its_timeout_ends(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with open_application(tmp_path, JOBS) as app:
        row = await app.wait_ended(await app.start("Hurry", Walk(ledger=str(ledger)), "finance"))
    assert (row["state"], row["error"]) == ("FAILED", "it took longer than its timeout of 0.3 seconds")
    assert [entry[3] for entry in read_ledger(ledger)] == ["began", "ended"]


async def test_the_reason_of_an_unexpected_error_holds_none_of_its_values(tmp_path: Path) -> None:
    async with open_application(tmp_path, JOBS) as app:
        id = await app.start("Crash", ScriptInput(text="hunter2"), "finance")
        row = await app.wait_ended(id)
        assert app.lines(id) == []
    assert (row["state"], row["error"]) == ("FAILED", "it failed unexpectedly; the log of its worker says where")


async def test_one_of_a_key_runs_at_a_time_and_in_order(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with open_application(tmp_path, JOBS) as app:
        walk = Walk(ledger=str(ledger), steps=2, seconds=0.1, key="c1")
        ids = [await app.start("WalkAlone", walk, "finance") for _ in range(3)]
        assert [app.row(id)["state"] for id in ids[1:]] == ["WAITING", "WAITING"]
        for id in ids:
            await app.wait_ended(id)
    assert [entry[2] for entry in read_ledger(ledger)] == [id for id in ids for _ in range(2)]


async def test_a_cancelled_job_ends_where_it_waits(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with open_application(tmp_path, JOBS) as app:
        ids = [await app.start("Sleep", Walk(ledger=str(ledger)), "finance") for _ in range(2)]
        await wait_until(lambda: read_ledger(ledger), lambda lines: len(lines) == 2)
        for id in ids:
            await app.runtime.service.cancel(make_member(app.database), id)
        rows = [await app.wait_ended(id) for id in ids]
        await app.runtime.service.cancel(make_member(app.database), ids[0])
        with pytest.raises(ConnectorError) as hidden:
            await app.runtime.service.cancel(make_member(app.database, "sales", email="eve@acme.example"), ids[0])
    assert [(row["state"], row["error"]) for row in rows] == [("CANCELLED", "Ada Lovelace cancelled it")] * 2
    assert sorted(entry[3] for entry in read_ledger(ledger)) == ["began", "began", "stopped", "stopped"]
    assert hidden.value.code is ErrorCode.NOT_FOUND


async def test_a_waiting_job_is_cancelled_at_once_and_the_next_has_its_turn(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with open_application(tmp_path, JOBS) as app:
        walk = Walk(ledger=str(ledger), steps=1, seconds=0.5, key="c1")
        first, second, third = [await app.start("WalkAlone", walk, "finance") for _ in range(3)]
        await app.runtime.service.cancel(make_member(app.database), second)
        assert app.row(second)["state"] == "CANCELLED"
        assert [(await app.wait_ended(id))["state"] for id in (first, third)] == ["SUCCEEDED", "SUCCEEDED"]


async def test_child_jobs_run_beside_their_parent_and_end_with_it(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with open_application(tmp_path, JOBS) as app:
        whole = Walk(ledger=str(ledger), steps=6)
        rows = [await app.wait_ended(await app.start("Whole", whole, "finance")) for _ in range(2)]
        assert [json.loads(row["result"]) for row in rows] == [{"steps": 36, "sum": "6"}] * 2
        slow = await app.start("Whole", Walk(ledger=f"{ledger}.2", steps=2, seconds=3600.0), "finance")
        await wait_until(lambda: read_ledger(Path(f"{ledger}.2")), lambda lines: len(lines) == 2)
        await app.runtime.service.cancel(make_member(app.database), slow)
        assert (await app.wait_ended(slow))["state"] == "CANCELLED"
        assert {(await app.wait_ended(entry[2]))["state"] for entry in read_ledger(Path(f"{ledger}.2"))} == {
            "CANCELLED"
        }


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_arguments_reach_a_script_as_they_are(tmp_path: Path, text: str) -> None:
    async with open_application(tmp_path, JOBS) as app:
        id = await app.start("Echo", ScriptInput(text=text, number=-3), "finance")
        row = await app.wait_ended(id)
        assert json.loads(row["result"]) == {"text": text, "number": -3}
        assert app.file(id, "echo.txt") == text.encode()


async def test_a_script_sees_its_folder_and_nothing_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEDOOR_PEPPER", "secret")
    async with open_application(tmp_path, JOBS) as app:
        row = await app.wait_ended(await app.start("Spy", ScriptInput(number=1), "finance"))
    seen = json.loads(json.loads(row["result"])["text"])
    assert seen == {
        "environment": ["HOME", "LANG", "PATH", "TMPDIR"],
        "folder": ["files"],
        "arguments": [],
        "files": ["0", "1", "2", "3"],
    }


async def test_a_script_past_its_bounds_is_ended(tmp_path: Path) -> None:
    async with open_application(tmp_path, JOBS) as app:
        row = await app.wait_ended(await app.start("Spin", ScriptInput(), "finance"))
    assert (row["state"], row["error"]) == ("FAILED", "it used more CPU time than it may")


async def test_cancelling_a_script_ends_all_it_started_within_two_seconds(tmp_path: Path) -> None:
    async with open_application(tmp_path, JOBS) as app:
        id = await app.start("Linger", ScriptInput(), "finance")
        pids = (await wait_until(lambda: app.lines(id), bool))[0][1].split()
        began = time.monotonic()
        await app.runtime.service.cancel(make_member(app.database), id)
        await wait_until(lambda: alive(pids), lambda left: not left)
        took = time.monotonic() - began
        assert (await app.wait_ended(id))["state"] == "CANCELLED"
    assert took < 2.0 + MARGIN


async def test_an_application_that_closes_ends_its_scripts_and_leaves_their_jobs_to_the_next(tmp_path: Path) -> None:
    async with open_application(tmp_path, JOBS) as app:
        id = await app.start("Linger", ScriptInput(), "finance")
        pids = (await wait_until(lambda: app.lines(id), bool))[0][1].split()
    assert alive(pids) == []
    async with open_application(tmp_path, JOBS) as app:
        lines = await wait_until(lambda: app.lines(id), lambda lines: len(lines) == 2)
        await app.runtime.service.cancel(make_member(app.database), id)
        assert (await app.wait_ended(id))["state"] == "CANCELLED"
    assert lines[1] != lines[0]


async def test_a_job_is_started_once_on_schedule_by_its_service_person(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    clock = [datetime(2026, 11, 1, 4, 59, 59, tzinfo=UTC)]
    schedule = Schedule(
        cron="0 5 * * *", service_account="books", groups=FINANCE, input=Walk(ledger=str(ledger), steps=1)
    )
    nightly = declare_job("Nightly", walk, Walk, schedule=schedule)
    async with open_application(tmp_path, (nightly,), now=lambda: clock[0], at_once=True) as app:
        await wait_until(lambda: app.runtime.worker.scheduled_until, bool)
        assert app.rows() == []
        for hour in (5, 5, 29, 29):
            clock[0] = datetime(2026, 11, 1 + hour // 24, hour % 24, 0, 5, tzinfo=UTC)
            await wait_until(lambda: app.runtime.worker.scheduled_until, lambda seen: seen == clock[0])
        ids = [row["id"] for row in app.rows()]
        ended = [await app.wait_ended(id) for id in ids]
    assert [(row["state"], row["person_id"], row["reason"]) for row in ended] == [
        ("SUCCEEDED", "service:books", "on schedule, for 2026-11-01T05:00:00+00:00"),
        ("SUCCEEDED", "service:books", "on schedule, for 2026-11-02T05:00:00+00:00"),
    ]
    starts = [record for record in read_records(tmp_path / "records") if record["operation"] == "startNightly"]
    assert [(record["person"], record["outcome"], record["changes"][0]["id"]) for record in starts] == [
        ("service:books", "answered", id) for id in ids
    ]
    assert [row["record_id"] for row in ended] == [record["id"] for record in starts]


async def test_the_last_lines_are_kept_and_a_long_one_is_cut_off(tmp_path: Path) -> None:
    async with open_application(tmp_path, JOBS, settings=replace(QUICK_SETTINGS, lines=3, line_characters=5)) as app:
        id = await app.start(
            "Say", ScriptInput(text="\n".join(f"line {number}\x1b" for number in range(9)), number=1), "finance"
        )
        await app.wait_ended(id)
        assert app.lines(id) == [("LOG", "line "), ("LOG", "line "), ("LOG", "line ")]
        assert app.row(id)["lines"] == 9


async def test_the_open_jobs_of_a_person_are_limited(tmp_path: Path) -> None:
    async with open_application(tmp_path, JOBS, settings=replace(QUICK_SETTINGS, open_most=2, here=False)) as app:
        for _ in range(2):
            await app.start("Crash", ScriptInput(), "finance")
        with pytest.raises(ConnectorError, match=r"the limit `jobs\.open_most` of 2") as many:
            await app.start("Crash", ScriptInput(), "finance")
    assert many.value.code is ErrorCode.LIMIT_EXCEEDED


async def test_a_job_that_is_declared_anew_ends_with_a_sentence(tmp_path: Path) -> None:
    ledger = str(tmp_path / "ledger")
    async with open_application(tmp_path, JOBS, settings=replace(QUICK_SETTINGS, here=False)) as app:
        same = await app.start("Walk", Walk(ledger=ledger, steps=1), "finance")
        other = await app.start("Crash", ScriptInput(), "finance")
    anew = tuple(replace(job, input=Question) if job.name == "Crash" else job for job in JOBS)
    async with open_application(tmp_path, anew) as app:
        assert (await app.wait_ended(same))["state"] == "SUCCEEDED"
        assert (await app.wait_ended(other))["error"] == (
            "its input or result was declared anew since it was started: start it again"
        )


async def test_the_notifier_hears_of_every_change(tmp_path: Path) -> None:
    async with open_application(tmp_path, JOBS) as app:
        id = await app.start("Walk", Walk(ledger=str(tmp_path / "ledger"), steps=2, seconds=0.3), "finance")
        before = app.row(id)
        await app.wait_ended(id)
        await wait_until(lambda: app.notifier.ids, lambda ids: len(ids) >= 6)
        after = app.row(id)
    assert set(app.notifier.ids) == {id}
    assert (before["done"], after["state"], after["done"]) == (None, "SUCCEEDED", 2.0)


def alive(pids: list[str]) -> list[str]:
    results = []
    for pid in pids:
        try:
            os.kill(int(pid), 0)
            status = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            continue
        if status != "Z":
            results.append(pid)
    return results
