"""A job that is started under a grant has its groups, carries its id in each record, and ends with it."""

from dataclasses import replace
from pathlib import Path

import pytest

from auth.authentication import Principal
from auth.grants import HeldGrant
from onedoor.audit.reader import read_records
from onedoor.exports.job import ExportInput, open_download
from onedoor.exports.models import ExportStopped, Format
from onedoor.jobs.models import JobRefused, JobRun, StartRequest
from onedoor.jobs.runner import load_run_principal
from tests import acme
from tests.exports.test_job import make_keyed_member, open_exports
from tests.jobs.application import JobApplication, make_member, open_application, wait_until
from tests.jobs.sample_jobs import JOBS, Question, Walk, read_ledger
from tests.lent_access import give_back, lend

EMAIL = "ada@acme.example"


def lend_to_member(app: JobApplication, group: str) -> tuple[Principal, HeldGrant]:
    """Return a person who is in a group by a grant alone."""
    member = make_member(app.database)
    grant = lend(app.database, EMAIL, group)
    return replace(member, groups=member.groups | {group}, grants=(grant,)), grant


async def start(app: JobApplication, job: str, principal: Principal, job_input: object) -> str:
    return await app.runtime.service.start(StartRequest(job_name=job, principal=principal, input=job_input))


def build_run(principal: Principal) -> JobRun:
    counts = dict.fromkeys(("epoch", "attempts", "failures", "takeovers"), 0)
    return JobRun(
        id="J1", name="Ask", person_id=principal.person_id, key_id=None, created_at=principal.key_created, input={},
        parent_id=None, version="", cancelled_by=None, **counts,
    )  # fmt: skip


async def test_a_job_ends_with_the_grant_whatever_it_waits_for(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with open_application(tmp_path, JOBS) as app:
        principal, grant = lend_to_member(app, "finance")
        id = await start(app, "Sleep", principal, Walk(ledger=str(ledger)))
        await wait_until(lambda: read_ledger(ledger), bool)
        give_back(app.database, EMAIL, grant)
        row = await app.wait_ended(id)
    assert (row["state"], row["grants"]) == ("REFUSED", grant.id)
    assert row["error"] == (
        f"the grant `{grant.id}` under which it was started has ended: ask for access and start it again"
    )
    assert [entry[3] for entry in read_ledger(ledger)] == ["began", "ended"]


async def test_each_query_of_a_job_has_the_grant_on_record(tmp_path: Path) -> None:
    async with open_application(tmp_path, JOBS) as app:
        principal, grant = lend_to_member(app, "finance")
        await app.wait_ended(await start(app, "Ask", principal, Question(text="{ me { groups grants } }")))
        records = [record for record in read_records(app.records) if record["surface"] == "job"]
    assert [(record["groups"], record["grants"]) for record in records if record["text"]] == [
        (["everyone", "finance"], [grant.id])
    ]


async def test_a_job_has_the_grants_under_which_it_was_started_and_no_later_ones(tmp_path: Path) -> None:
    async with open_application(tmp_path, JOBS) as app:
        run, registered = build_run(make_member(app.database)), app.runtime.worker.runner.jobs
        lent = lend(app.database, EMAIL, "finance")
        before = load_run_principal(app.database, registered, acme.GROUPS, run)
        under = load_run_principal(app.database, registered, acme.GROUPS, replace(run, grants=(lent.id,)))
        give_back(app.database, EMAIL, lent)
        with pytest.raises(JobRefused, match="under which it was started has ended"):
            load_run_principal(app.database, registered, acme.GROUPS, replace(run, grants=(lent.id,)))
    assert (before.groups, before.grants) == (frozenset({"everyone"}), ())
    assert (under.groups, under.grants) == (frozenset({"everyone", "finance"}), (lent,))


async def test_a_download_ends_with_the_grant(tmp_path: Path) -> None:
    async with open_exports(tmp_path) as (app, executor, exports):
        member = make_keyed_member(app)
        grant = lend(app.database, EMAIL, "sales")
        holder = replace(member, groups=member.groups | {"sales"}, grants=(grant,))
        id = await start(app, "Export", holder, ExportInput(query="{ orders { nodes { id } } }", format=Format.CSV))
        assert (await app.wait_ended(id))["state"] == "SUCCEEDED"
        download = await open_download(executor, exports, holder, id, "export.csv")
        give_back(app.database, EMAIL, grant)
        with pytest.raises(ExportStopped, match="has ended"):
            await anext(aiter(download.chunks))
        assert await open_download(executor, exports, holder, id, "export.csv") is None
