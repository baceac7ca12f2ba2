"""The company's jobs are started by mutations, run by a worker process and read by GraphQL."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from demo.servers.run import ROOT, RunningServers
from onedoor.app import open_app
from onedoor.config import load_settings
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.http.state import AppState
from onedoor.jobs import service
from onedoor.jobs.models import OPEN_STATES
from onedoor.jobs.registry import register_jobs
from onedoor.model.catalog import ActionCall
from onedoor.query.context import GraphQLRequest
from onedoor.query.engine import execute
from tests import acme
from tests.e2e.stopping.server_process import build_environment, prepare_company
from tests.jobs.application import LOOK_SECONDS, PATIENCE_SECONDS
from tests.servers.ports import find_free_port

JOB = """query($id: ID!) { job(id: $id) { name state startedBy input result error done total attempts
  lines(first: 3) { nodes { kind text } } files { nodes { name text } } } }"""


@contextmanager
def worker(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "onedoor", "worker"]
    process = subprocess.Popen(command, cwd=ROOT, env=build_environment(folder))
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(60) == 0


async def fetch_job(counter: AppState, key: str, id: str) -> Any:
    caller = await counter.authenticator.authenticate(key)
    assert caller is not None
    result = await execute(counter.engine, caller, GraphQLRequest(query=JOB, variables={"id": id}))
    assert list(result.errors) == []
    return orjson.loads(orjson.dumps(result.data))["job"]


async def wait_ended(counter: AppState, key: str, id: str) -> Any:
    """What is told of it once it has ended."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            job = await fetch_job(counter, key, id)
            if job["state"] not in OPEN_STATES:
                return job
            await asyncio.sleep(LOOK_SECONDS)


async def test_a_job_goes_from_a_mutation_over_a_worker_to_an_answer(
    tmp_path: Path, acme_servers: RunningServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = prepare_company(tmp_path, acme_servers, find_free_port())
    for name, value in build_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    settings = load_settings(tmp_path / "onedoor.toml")
    web_settings = replace(settings, jobs=replace(settings.jobs, here=False))
    async with open_app(web_settings, acme.company()) as counter:
        assert counter.job_runtime is not None
        caller = await counter.authenticator.authenticate(key)
        assert caller is not None

        def act(field: str, **given: Any) -> ActionCall:
            return ActionCall(principal=caller, field=field, arguments={"input": given}, record_id="R1", deadline=0.0)

        starting = counter.job_runtime.service
        labels = {"skus": ("A-1", "B-2"), "idempotencyKey": "k1", "reason": "the shelf is new"}
        typed = await service.build_start_action(starting, "PrintLabels")(act("startPrintLabels", **labels))
        anyhow = service.build_start_any_action(starting)
        wrong = act("startJob", name="PrintLabels", input={"skus": "A-1"})
        with pytest.raises(ConnectorError, match="`skus` must be a list") as misfit:
            await anyhow(wrong)
        generic = await anyhow(act("startJob", name="SurveyUsage", input={"page": 40}))
        assert typed.row_id is not None
        assert generic.row_id is not None
        assert (await fetch_job(counter, key, typed.row_id))["state"] == "QUEUED"
        with worker(tmp_path):
            ended = {id: await wait_ended(counter, key, id) for id in (typed.row_id, generic.row_id)}
    assert misfit.value.code is ErrorCode.BAD_USER_INPUT
    sheet = ended[typed.row_id].pop("files")["nodes"][0]
    assert (sheet["name"], sheet["text"].count("Acme Inc.")) == ("labels.txt", 2)
    assert ended[typed.row_id] == {
        "name": "PrintLabels",
        "state": "SUCCEEDED",
        "startedBy": "Ada Lovelace",
        "input": {"headline": "Acme Inc.", "skus": ["A-1", "B-2"]},
        "result": {"labels": 2, "file": "labels.txt"},
        "error": None,
        "done": 2.0,
        "total": 2.0,
        "attempts": 1,
        "lines": {
            "nodes": [
                {"kind": "OUTPUT", "text": text}
                for text in ("label of A-1", "label of B-2", '{"labels": 2, "file": "labels.txt"}')
            ]
        },
    }
    assert ended[generic.row_id]["result"] == {"customers": 100, "idle": 2}


def test_each_declared_job_is_listed_with_what_a_mutation_needs() -> None:
    results = {
        job_mutation.mutation: job_mutation
        for job_mutation in service.list_job_mutations(register_jobs(acme.company().jobs, acme.GROUPS))
    }
    assert sorted(results) == ["startPrintLabels", "startRebuildInvoices", "startSurveyUsage"]
    labels = results["startPrintLabels"]
    assert labels.groups == {"sales", "support"}
    assert [(field.label, field.value_type, field.is_list, field.optional) for field in labels.fields] == [
        ("skus", str, True, False),
        ("headline", str, False, False),
    ]
