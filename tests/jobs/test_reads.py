"""What a job leaves is shown to those alone who may read everything that the job has read."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import delete, select, update

from auth.authentication import Principal
from onedoor.audit.record import Surface
from onedoor.connectors.jobs import build_job_actions
from onedoor.errors import ErrorCode
from onedoor.jobs.context import JobContext
from onedoor.jobs.declarations import Job
from onedoor.jobs.models import JobFailed
from onedoor.jobs.tables import job_read_table, job_table
from onedoor.model.catalog import Catalog
from onedoor.query.audited import AuditedExecutor
from onedoor.query.context import ExecutionResult, GraphQLRequest
from tests import acme
from tests.jobs.application import JobApplication, make_member, open_application
from tests.jobs.sample_jobs import ANYBODY, Question, declare_job

SALARY = "{ employees(first: 1) { nodes { salary } } }"
"""May be read by `people` and `finance`."""
JOB = """query($id: ID!) { job(id: $id) { state input done total error result
  lines { totalCount nodes { text } } files { nodes { name text } } } }"""
WITHHELD = {
    "state": "SUCCEEDED", "input": {"text": SALARY}, "done": None, "total": None, "error": None, "result": None,
    "lines": {"totalCount": 0, "nodes": []}, "files": {"nodes": []},
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    data: Mapping[str, Any]


async def copy(context: JobContext, job_input: Question) -> Copied:
    """Leave the data of a query wherever a job can leave something."""
    data = await context.query(job_input.text)
    context.log(json.dumps(data))
    context.report_progress(7, 9)
    await context.save_file("data.json", orjson.dumps(data), "application/json")
    await context.save_csv("data.csv", ("data", "=1+1"), [(data["employees"]["nodes"][0], "=2+2")])
    return Copied(data=data)


async def fail_with_data(context: JobContext, job_input: Question) -> None:
    raise JobFailed(f"it has {await context.query(job_input.text)}", retryable=False)


async def start_with_data(context: JobContext, job_input: Question) -> None:
    """Start a child whose input is what was read, and wait for nothing."""
    data = await context.query(job_input.text)
    await context.start_child("Say", Question(text=json.dumps(data)), "one")


async def wait_for_data(context: JobContext, job_input: Question) -> Copied:
    (child,) = await context.wait_for_children([await context.start_child("Copy", job_input, "one")])
    return Copied(data=child.result["data"])


async def mutate_with_data(context: JobContext, job_input: Question) -> None:
    data = await context.query(job_input.text)
    await context.query(
        'mutation($text: JSON!) { startJob(input: {name: "Say", input: {text: $text}}) { id } }',
        {"text": json.dumps(data)},
    )


async def say(context: JobContext, job_input: Question) -> None:
    context.log(job_input.text)


def declare(name: str, run: Any, **options: Any) -> Job:
    return declare_job(name, run, Question, may_start=ANYBODY, may_see=frozenset({"audit"}), **options)


JOBS = (
    declare("Copy", copy, result=Copied),
    declare("Fail", fail_with_data),
    declare("StartWithData", start_with_data),
    declare("WaitForData", wait_for_data, result=Copied),
    declare("MutateWithData", mutate_with_data),
    declare("Say", say),
)


def build_catalog_with_actions() -> Catalog:
    return replace(acme.build_catalog(), actions={})


def build_reader(*groups: str) -> Principal:
    return replace(acme.caller(*groups), person_id="reader")


async def read_job(app: JobApplication, principal: Principal, id: str, text: str = JOB, **extensions: Any) -> Any:
    request = GraphQLRequest(query=text, variables={"id": id}, extensions=extensions)
    return await app.executor.run(principal, request, surface=Surface.GRAPHQL)


def decode(result: ExecutionResult) -> Any:
    return orjson.loads(orjson.dumps(result.data, option=orjson.OPT_UTC_Z))


def read_records(app: JobApplication) -> Iterator[Mapping[str, Any]]:
    for file in sorted(app.records.iterdir()):
        yield from map(json.loads, file.read_text().splitlines())


async def run_job(app: JobApplication, name: str, *groups: str, text: str = SALARY) -> str:
    id = await app.start(name, Question(text=text), *groups)
    await app.wait_ended(id)
    return id


READS = [
    pytest.param(SALARY, id="a field"),
    pytest.param("{ employees(first: 1, where: {salary: {gt: 1}}) { nodes { id } } }", id="a filter"),
    pytest.param("{ employees(first: 1, orderBy: [{salary: DESC}]) { nodes { id } } }", id="an order"),
    pytest.param(
        "{ employees(first: 1, where: {manager: {salary: {gt: 1}}}) { nodes { id } } }", id="a related filter"
    ),
    pytest.param("{ employees(first: 1) { nodes { id } aggregate { max { salary } } } }", id="an aggregate"),
]


@pytest.mark.parametrize("text", READS)
async def test_a_copy_is_shown_to_whoever_may_read_what_it_was_made_of(tmp_path: Path, text: str) -> None:
    async with open_application(tmp_path, JOBS, build_catalog=acme.build_catalog) as app:
        id = await run_job(app, "Copy", "people", text=text)
        denied = await read_job(app, build_reader("audit"), id)
        allowed = await read_job(app, build_reader("audit", "people"), id)
    assert decode(denied)["job"] == WITHHELD | {"input": {"text": text}}
    assert {error.code for error in denied.errors} == {ErrorCode.FORBIDDEN}
    shown = decode(allowed)["job"]
    assert (allowed.errors, shown["done"], shown["lines"]["totalCount"]) == ([], 7.0, 1)
    assert json.loads(shown["lines"]["nodes"][0]["text"]) == shown["result"]["data"]
    assert [file["name"] for file in shown["files"]["nodes"]] == ["data.csv", "data.json"]


async def test_who_started_a_job_sees_no_more_of_it_once_they_may_not_read_what_it_read(tmp_path: Path) -> None:
    async with open_application(tmp_path, JOBS, build_catalog=acme.build_catalog) as app:
        id = await run_job(app, "Copy", "people")
        starter = make_member(app.database)
        before = decode(await read_job(app, starter, id))["job"]
        after = decode(await read_job(app, replace(starter, groups=frozenset({"everyone"})), id))["job"]
    assert before["result"]["data"]["employees"]["nodes"] != []
    assert after == WITHHELD


async def test_what_is_withheld_is_in_the_record_and_in_the_errors(tmp_path: Path) -> None:
    async with open_application(tmp_path, JOBS, build_catalog=acme.build_catalog) as app:
        id = await run_job(app, "Copy", "people")
        result = await read_job(app, build_reader("audit"), id)
        refused = await read_job(app, build_reader("audit"), id, allOrNothing=True)
        records = [record for record in read_records(app) if record.get("surface") == "graphql"]
    withheld = [(field, "Employee.salary") for field in ("Job.done", "Job.result", "Job.total", "JobFile", "JobLine")]
    for record in records:
        assert sorted((item["field"], item["reason"]) for item in record["withheld"]) == withheld
    assert [record["outcome"] for record in records] == ["partial", "refused"]
    denial = (
        "as it was made of what you may not read: `Employee.salary` is for finance or people;"
        " send `requestAccess`, or ask finance (finance@acme.example) or people (people@acme.example) for it"
    )
    assert sorted(error.message for error in result.errors) == [
        f"`{field}` is not shown, {denial}" for field, _ in withheld
    ]
    assert (refused.data, sorted(map(str, refused.errors))) == (None, sorted(map(str, result.errors)))


@pytest.mark.parametrize("text", READS)
async def test_the_record_says_what_was_reached_for_by_the_field_that_holds_it(tmp_path: Path, text: str) -> None:
    async with open_application(tmp_path, JOBS, build_catalog=acme.build_catalog) as app:
        id = await run_job(app, "Copy", "people", text=text)
        await read_job(app, build_reader("audit"), id)
        (record,) = (record for record in read_records(app) if record.get("surface") == "graphql")
    assert record["attempted"] == ["Employee.salary"]


async def test_everything_that_denies_a_copy_is_on_record(tmp_path: Path) -> None:
    text = "{ employees(first: 1) { nodes { salary hiredOn } } }"
    async with open_application(tmp_path, JOBS, build_catalog=acme.build_catalog) as app:
        id = await run_job(app, "Copy", "people", text=text)
        result = await read_job(app, build_reader("audit"), id, "query($id: ID!) { job(id: $id) { result } }")
        (record,) = (record for record in read_records(app) if record.get("surface") == "graphql")
    assert record["withheld"] == [
        {"field": "Job.result", "reason": "Employee.hiredOn"}, {"field": "Job.result", "reason": "Employee.salary"}
    ]  # fmt: skip
    assert record["attempted"] == ["Employee.hiredOn", "Employee.salary"]
    (error,) = result.errors
    assert error.message.endswith(
        "`Employee.hiredOn` is for people; send `requestAccess`, or ask people (people@acme.example) for it, and 1 more"
    )


async def test_under_own_views_it_is_not_named_what_a_job_read(tmp_path: Path) -> None:
    """A field that is denied does not exist for whoever may not read it."""

    def build_own_catalog() -> Catalog:
        catalog = acme.build_catalog()
        return replace(catalog, schema_for_groups=lambda groups: catalog.schema)

    async with open_application(tmp_path, JOBS, build_catalog=build_own_catalog) as app:
        id = await run_job(app, "Copy", "people")
        errors = (await read_job(app, build_reader("audit"), id)).errors
    assert sorted((error.message, error.extensions) for error in errors) == [
        (
            f"`{field}` is not shown, as it was made of what you may not read; ask whoever made it",
            {"position": field},
        )
        for field in ("Job.done", "Job.result", "Job.total", "JobFile", "JobLine")
    ]


async def test_a_mutation_that_was_carried_out_is_not_refused_for_what_it_does_not_show(tmp_path: Path) -> None:
    text = "mutation($id: ID!) { cancelJob(input: {id: $id}) { id result } }"
    async with open_application(tmp_path, JOBS, build_catalog=build_catalog_with_actions) as app:
        app.engine.catalog.actions.update(build_job_actions(app.runtime.service))
        id = await run_job(app, "Copy", "people")
        starter = replace(make_member(app.database), groups=frozenset({"everyone"}))
        result = await read_job(app, starter, id, text, allOrNothing=True)
    assert (decode(result), result.rejected, len(result.errors)) == (
        {"cancelJob": {"id": id, "result": None}},
        False,
        1,
    )


async def test_an_error_that_a_job_raised_is_withheld_too(tmp_path: Path) -> None:
    async with open_application(tmp_path, JOBS, build_catalog=acme.build_catalog) as app:
        id = await run_job(app, "Fail", "people")
        errors = [
            decode(await read_job(app, build_reader("audit", *groups), id))["job"]["error"]
            for groups in ((), ("people",))
        ]
    assert (errors[0], errors[1][:7]) == (None, "it has ")


@pytest.mark.parametrize("name", ["StartWithData", "MutateWithData"])
async def test_the_input_that_a_job_gives_another_is_withheld_with_it(tmp_path: Path, name: str) -> None:
    async with open_application(tmp_path, JOBS, build_catalog=build_catalog_with_actions) as app:
        app.engine.catalog.actions.update(build_job_actions(app.runtime.service))
        id = await run_job(app, name, "people")
        assert app.row(id)["state"] == "SUCCEEDED"
        (child,) = (row["id"] for row in app.rows() if row["name"] == "Say")
        await app.wait_ended(child)
        denied = decode(await read_job(app, build_reader("audit"), child))["job"]
        allowed = decode(await read_job(app, build_reader("audit", "people"), child))["job"]
    assert denied == WITHHELD | {"input": {}}
    assert allowed["input"]["text"] == allowed["lines"]["nodes"][0]["text"]


async def test_a_job_that_waits_for_another_has_read_what_that_one_has(tmp_path: Path) -> None:
    async with open_application(tmp_path, JOBS, build_catalog=acme.build_catalog) as app:
        id = await run_job(app, "WaitForData", "people")
        assert app.row(id)["state"] == "SUCCEEDED"
        denied = decode(await read_job(app, build_reader("audit"), id))["job"]
        allowed = decode(await read_job(app, build_reader("audit", "people"), id))["job"]
    assert (denied["result"], "employees" in allowed["result"]["data"]) == (None, True)


async def test_a_job_that_reads_jobs_is_for_its_starter_alone(tmp_path: Path) -> None:
    async with open_application(tmp_path, JOBS, build_catalog=acme.build_catalog) as app:
        await run_job(app, "Copy", "people")
        text = '{ jobs(where: {name: {eq: "Copy"}}) { nodes { result } } employees(first: 1) { nodes { id } } }'
        id = await run_job(app, "Copy", "people", text=text)
        starter = make_member(app.database)
        readers = (build_reader("audit", "people"), starter, replace(starter, groups=frozenset({"everyone"})))
        results = [decode(await read_job(app, reader, id))["job"]["result"] for reader in readers]
    assert [result is None for result in results] == [True, False, True]


async def test_of_a_job_from_before_reads_were_kept_only_its_starter_sees_what_came_of_it(tmp_path: Path) -> None:
    async with open_application(tmp_path, JOBS, build_catalog=acme.build_catalog) as app:
        id = await run_job(app, "Copy", "people")
        with app.database.write_transaction() as connection:
            connection.execute(update(job_table).values(reads_known=False))
            connection.execute(delete(job_read_table))
        other = decode(await read_job(app, build_reader("audit", "people"), id))["job"]
        own = decode(await read_job(app, make_member(app.database), id))["job"]
    assert (other, own["result"] is None) == (WITHHELD, False)


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
async def test_a_filter_or_an_order_tells_nothing_of_what_is_withheld(
    tmp_path: Path, request: pytest.FixtureRequest, store: str
) -> None:
    url = request.getfixturevalue("postgresql_started").emptied("reads") if store == "postgresql" else None
    texts = (
        "{ jobs(where: {done: {gte: 7}}) { totalCount } }",
        "{ jobs(where: {lines: {some: {number: {eq: 1}}}}) { totalCount } }",
        '{ jobs(where: {files: {some: {name: {eq: "data.csv"}}}}) { totalCount } }',
        "{ jobs(where: {files: {some: {size: {gt: 0}}}}) { totalCount } }",
        "{ jobs(orderBy: [{done: ASC}], first: 1) { totalCount nodes { done } } }",
    )
    async with open_application(tmp_path, JOBS, build_catalog=acme.build_catalog, url=url) as app:
        id = await run_job(app, "Copy", "people")
        results = [
            [await read_job(app, build_reader("audit", *groups), id, text) for groups in ((), ("people",))]
            for text in texts
        ]
        withheld = [
            [item["field"] for item in record["withheld"]]
            for record in read_records(app)
            if record.get("surface") == "graphql"
        ]
    counts = [[decode(result)["jobs"]["totalCount"] for result in pair] for pair in results]
    assert counts == [[0, 1]] * 4 + [[1, 1]]
    assert withheld[::2] == [["Job.done"], ["JobLine"], ["JobFile"], ["JobFile"], ["Job.done"]]
    assert withheld[1::2] == [[]] * 5


async def test_what_was_read_is_kept_before_the_job_has_it(tmp_path: Path) -> None:
    """An attempt that dies in between leaves nothing that is not judged."""
    kept: list[set[str]] = []

    async def look(context: JobContext, job_input: Question) -> None:
        await context.query(job_input.text)
        with context.database.metadata.read_connection() as connection:
            kept.append(set(connection.execute(select(job_read_table.c.coordinate)).scalars()))

    async with open_application(tmp_path, (declare("Look", look),), build_catalog=acme.build_catalog) as app:
        await run_job(app, "Look", "people")
    assert kept == [{"Query.employees", "Query.employees.first", "EmployeeConnection.nodes", "Employee.salary"}]


async def test_the_executor_of_a_run_shares_what_the_others_wait_for_at_the_end(tmp_path: Path) -> None:
    executors: list[AuditedExecutor] = []

    async def look(context: JobContext, job_input: Question) -> None:
        executors.append(context.executor)

    async with open_application(tmp_path, (declare("Look", look),)) as app:
        await run_job(app, "Look")
        (executor,) = executors
        for field in fields(AuditedExecutor):
            assert getattr(executor, field.name) is getattr(app.executor, field.name)


async def test_a_formula_in_a_table_of_a_job_is_marked_as_in_exports(tmp_path: Path) -> None:
    async with open_application(tmp_path, JOBS, build_catalog=acme.build_catalog) as app:
        content = app.file(
            await run_job(app, "Copy", "people", text="{ employees(first: 1) { nodes { id } } }"), "data.csv"
        )
    assert content == b"""data,'=1+1\n"{""id"":""1""}",'=2+2\n"""
