"""The company's jobs through its own door: started as mutations do, run by a worker of its own, read by GraphQL."""

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

from app import opened
from demo.postgresql import free_port
from demo.servers import ROOT, Running
from door.graphql import Counter
from engine.act import Act
from engine.answer import answer
from engine.desk import Answer, Question
from engine.errors import Code, SourceFailed
from settings import read
from tests.jobs.houses import LOOK_SECONDS, PATIENCE_SECONDS
from tests.stopping.doors import environment, furnished
from work import actions
from work.words import OPEN

JOB = """query($id: ID!) { job(id: $id) { name state startedBy input result error done total attempts
  lines(first: 3) { nodes { kind text } } files { nodes { name text } } } }"""


@contextmanager
def worker(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "cli.py", "worker"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(folder))
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(60) == 0


async def told(counter: Counter, key: str, id: str) -> Any:
    caller = await counter.callers.caller(key)
    assert caller is not None
    found = Answer()
    await answer(counter.desk, caller, Question(text=JOB, variables={"id": id}), found)
    assert list(found.faults) == []
    return orjson.loads(orjson.dumps(found.data))["job"]


async def over(counter: Counter, key: str, id: str) -> Any:
    """What is told of it once it has ended."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = await told(counter, key, id)
            if found["state"] not in OPEN:
                return found
            await asyncio.sleep(LOOK_SECONDS)


async def test_a_job_goes_from_a_mutation_over_a_worker_to_an_answer(
    tmp_path: Path, acme_servers: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = furnished(tmp_path, acme_servers, free_port())
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    settings = read(tmp_path / "onedoor.toml")
    door = replace(settings, jobs=replace(settings.jobs, here=False))
    async with opened(door) as (counter, _):
        assert counter.works is not None
        caller = await counter.callers.caller(key)
        assert caller is not None

        def act(field: str, **given: Any) -> Act:
            return Act(caller=caller, field=field, arguments={"input": given}, record="R1", until=0.0)

        starting = counter.works.starting
        labels = {"skus": ("A-1", "B-2"), "idempotencyKey": "k1", "reason": "the shelf is new"}
        typed = await actions.start(starting, "PrintLabels")(act("startPrintLabels", **labels))
        anyhow = actions.start_any(starting)
        wrong = act("startJob", name="PrintLabels", input={"skus": "A-1"})
        with pytest.raises(SourceFailed, match="`skus` must be a list") as misfit:
            await anyhow(wrong)
        generic = await anyhow(act("startJob", name="SurveyUsage", input={"page": 40}))
        assert typed.id is not None
        assert generic.id is not None
        assert (await told(counter, key, typed.id))["state"] == "QUEUED"
        with worker(tmp_path):
            ended = {id: await over(counter, key, id) for id in (typed.id, generic.id)}
    assert misfit.value.code is Code.BAD_USER_INPUT
    sheet = ended[typed.id].pop("files")["nodes"][0]
    assert (sheet["name"], sheet["text"].count("Acme Inc.")) == ("labels.txt", 2)
    assert ended[typed.id] == {
        "name": "PrintLabels", "state": "SUCCEEDED", "startedBy": "Ada Lovelace",
        "input": {"headline": "Acme Inc.", "skus": ["A-1", "B-2"]}, "result": {"labels": 2, "file": "labels.txt"},
        "error": None, "done": 2.0, "total": 2.0, "attempts": 1,
        "lines": {"nodes": [{"kind": "OUTPUT", "text": each} for each in (
            "label of A-1", "label of B-2", '{"labels": 2, "file": "labels.txt"}')]},
    }  # fmt: skip
    assert ended[generic.id]["result"] == {"customers": 100, "idle": 2}


def test_each_declared_job_is_listed_with_what_a_mutation_needs() -> None:
    import jobs
    from work.register import registered

    found = {each.mutation: each for each in actions.listed(registered(jobs.declared()))}
    assert sorted(found) == ["startPrintLabels", "startRebuildInvoices", "startSurveyUsage"]
    labels = found["startPrintLabels"]
    assert labels.groups == {"sales", "support"}
    assert [(each.label, each.kind, each.many, each.optional) for each in labels.fields] == [
        ("skus", str, True, False), ("headline", str, False, False),
    ]  # fmt: skip
