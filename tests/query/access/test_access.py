"""`groups`, `myAccess`, `access` and `simulate` tell whoever asks what the one decision says, and nothing else."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from auth import users
from auth.policy import decide
from onedoor.errors import ErrorCode
from onedoor.query.context import QueryEngine
from onedoor.query.simulation import simulate
from onedoor.schema.visibility import build_visible_schema
from onedoor.storage.database import MetadataDatabase, open_database
from tests import acme
from tests.query.access.services import Document, load_golden_documents, open_engine

PLANNED = [document for document in load_golden_documents() if not document.name.startswith("page_")]
"""The cursors of the others are of another version of the schema."""
FINANCE = "finance (finance@acme.example)"
GROUPS = ("everyone", "sales", "finance", "access-review")
ACCESS = "query ($coordinate: String!) { access(coordinate: $coordinate) { allowed missing remedy } }"
SIMULATE = """query ($query: String!, $groups: [String!], $person: String) {
  simulate(query: $query, groups: $groups, person: $person) {
    groups allowed fields(first: 1000) { nodes { path coordinate allowed reason missing remedy } }
  }
}"""


@pytest.fixture(scope="module")
def engine() -> QueryEngine:
    return open_engine(acme.build_catalog())


@pytest.fixture(scope="module")
def own_view_engine() -> QueryEngine:
    document, policy = acme.load_document(), acme.load_schema_and_policy()[1]
    return open_engine(replace(acme.build_catalog(), schema_for_groups=partial(build_visible_schema, document, policy)))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[MetadataDatabase]:
    database = open_database(
        f"sqlite:///{tmp_path}/state.sqlite", b"of the tests, and at least thirty-two characters long"
    )
    yield database
    database.close()


async def list_access(engine: QueryEngine, group: str) -> dict[str, bool]:
    """All pages of `myAccess`."""
    text = "query ($after: String) { myAccess(first: 1000, after: $after) { nodes { coordinate allowed }"
    text += " pageInfo { hasNextPage endCursor } } }"
    shown, after, has_next = dict[str, bool](), None, True
    while has_next:
        result = await acme.ask(engine, text, group, variables={"after": after})
        assert result.data is not None
        page = result.data["myAccess"]
        shown |= {node["coordinate"]: node["allowed"] for node in page["nodes"]}
        after, has_next = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    return shown


@pytest.mark.parametrize("group", ["finance", "access-review"])
async def test_my_access_says_of_every_coordinate_what_is_decided(engine: QueryEngine, group: str) -> None:
    policy, groups = acme.load_schema_and_policy()[1], acme.caller(group).groups
    assert await list_access(engine, group) == {
        ".".join(coordinate): decide(policy, coordinate, groups).allowed for coordinate in policy.requirements
    }


@pytest.mark.parametrize("coordinate", ["Customer.name", "Customer.creditLimit", "CustomerWhere.and", "Customer"])
async def test_a_filter_finds_what_the_list_has(engine: QueryEngine, coordinate: str) -> None:
    """The connector takes equal coordinates and lists of them, and the engine any other test: all give the same."""
    texts = (
        f'{{coordinate: {{eq: "{coordinate}"}}}}', f'{{coordinate: {{in: ["{coordinate}", "Nothing"]}}}}',
        f'{{and: [{{coordinate: {{startsWith: "{coordinate}"}}}}, {{coordinate: {{endsWith: "{coordinate}"}}}}]}}',
    )  # fmt: skip
    results = [
        (await acme.ask(engine, f"{{ myAccess(where: {where}) {{ nodes {{ coordinate allowed }} }} }}", "sales")).data
        for where in texts
    ]
    assert results == [results[0]] * 3


async def test_a_filter_that_names_two_coordinates_at_once_finds_nothing(engine: QueryEngine) -> None:
    where = '{and: [{coordinate: {eq: "Customer"}}, {coordinate: {eq: "Order"}}]}'
    result = await acme.ask(engine, f"{{ myAccess(where: {where}) {{ nodes {{ coordinate }} }} }}", "sales")
    assert result.data == {"myAccess": {"nodes": []}}


async def test_my_access_under_own_views_names_nothing_else(own_view_engine: QueryEngine) -> None:
    schema = acme.build_catalog().schema if own_view_engine.catalog.schema_for_groups is None else None
    assert schema is None
    view = own_view_engine.catalog.schema_for_groups(acme.caller("marketing").groups)  # type: ignore[misc]
    known = {name for name in view.type_map if not name.startswith("__")}
    known |= {f"{name}.{field}" for name in known for field in getattr(view.type_map[name], "fields", ())}
    named = await list_access(own_view_engine, "marketing")
    assert {".".join(name.split(".")[:2]) for name in named} <= known
    assert "Customer.name" in named
    assert "Customer.creditLimit" not in named


@pytest.mark.parametrize(
    ("coordinate", "expected"),
    [
        pytest.param("Customer.name", {"allowed": True, "missing": [], "remedy": None}, id="a field"),
        pytest.param(
            "CustomerWhere.creditLimit",
            {"allowed": False, "missing": ["finance"], "remedy": acme.remedy(FINANCE)},
            id="a filter by a field",
        ),
        pytest.param("Query.customers.where", {"allowed": True, "missing": [], "remedy": None}, id="an argument"),
        pytest.param("Customer.nme", None, id="no field"),
        pytest.param("Customer.name.first.x", None, id="no coordinate"),
        pytest.param("", None, id="nothing"),
    ],
)
async def test_access_to_one_coordinate_is_explained(engine: QueryEngine, coordinate: str, expected: Any) -> None:
    result = await acme.ask(engine, ACCESS, "sales", variables={"coordinate": coordinate})
    assert (result.data, result.errors) == ({"access": expected}, [])


async def test_under_own_views_a_hidden_coordinate_is_none(own_view_engine: QueryEngine) -> None:
    for coordinate in ("Customer.creditLimit", "Customer.nope"):
        result = await acme.ask(own_view_engine, ACCESS, "sales", variables={"coordinate": coordinate})
        assert (result.data, result.errors) == ({"access": None}, [])


async def test_the_register_is_shown_to_everyone_but_for_what_the_directory_calls_it(engine: QueryEngine) -> None:
    text = """{ group(id: "finance") { name purpose owner contact sensitivity staleAfterHours approvers exclusive
        grantMaxHours directoryGroups } }"""
    shown = {
        "name": "finance", "purpose": "Bills customers, pays suppliers, keeps the books.", "owner": "finance",
        "contact": "finance@acme.example", "sensitivity": "SENSITIVE", "staleAfterHours": 24.0,
        "approvers": ["finance"], "exclusive": False, "grantMaxHours": 8.0,
    }  # fmt: skip
    reviewed = await acme.ask(engine, text, "access-review")
    assert (reviewed.data, reviewed.errors) == ({"group": {**shown, "directoryGroups": ["acme-finance"]}}, [])
    denied = await acme.ask(engine, text, "sales")
    assert denied.data == {"group": {**shown, "directoryGroups": None}}
    assert [error.code for error in denied.errors] == [ErrorCode.FORBIDDEN]


@pytest.mark.parametrize("document", PLANNED, ids=lambda document: document.name)
async def test_a_simulation_denies_what_an_execution_denies(engine: QueryEngine, document: Document) -> None:
    for group in GROUPS:
        decisions = simulate(
            engine.catalog,
            engine.catalog.schema,
            document.text,
            acme.caller(group).groups,
            variables=document.variables,
        )
        planned = await acme.ask(engine, document.text, group, variables=document.variables, plan="ONLY")
        denied = sorted(".".join(item.decision.coordinate) for item in decisions if not item.decision.allowed)
        assert denied == sorted((error.extensions or {})["position"] for error in planned.errors)


async def test_a_simulation_says_what_would_be_denied_and_why(engine: QueryEngine) -> None:
    query = "{ customers(where: {creditLimit: {gt: 5}}) { totalCount } employees { nodes { fullName salary } } }"
    result = await acme.ask(engine, SIMULATE, "access-review", variables={"query": query, "groups": ["sales"]})
    denied = {"allowed": False, "reason": "CustomerWhere.creditLimit", "missing": ["finance"]}
    allowed = {"allowed": True, "reason": None, "missing": [], "remedy": None}
    assert result.errors == []
    assert result.data == {
        "simulate": {
            "groups": ["everyone", "sales"],
            "allowed": False,
            "fields": {
                "nodes": [
                    {
                        "path": "customers",
                        "coordinate": "Query.customers",
                        **denied,
                        "remedy": acme.remedy(FINANCE),
                    },
                    {"path": "employees", "coordinate": "Query.employees", **allowed},
                    {"path": "employees.nodes", "coordinate": "EmployeeConnection.nodes", **allowed},
                    {"path": "employees.nodes.fullName", "coordinate": "Employee.fullName", **allowed},
                    {
                        "path": "employees.nodes.salary",
                        "coordinate": "Employee.salary",
                        "allowed": False,
                        "reason": "Employee.salary",
                        "missing": ["finance or people"],
                        "remedy": acme.remedy(FINANCE, "people (people@acme.example)"),
                    },
                ]
            },
        }
    }


async def test_a_simulation_touches_no_source() -> None:
    engine = open_engine(replace(acme.build_catalog(), connectors={**acme.build_catalog().connectors}))
    result = await acme.ask(
        engine, SIMULATE, "access-review", variables={"query": "{ customers { nodes { name } } }", "groups": ["sales"]}
    )
    assert {scan.source for scan in result.scan_stats} == {"access"}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        pytest.param({}, "name either a `person` or `groups`, for whom the document is decided", id="for nobody"),
        pytest.param(
            {"groups": [], "person": "ada@acme.example"},
            "name either a `person` or `groups`, for whom the document is decided",
            id="for both",
        ),
        pytest.param({"groups": ["financ"]}, "there is no group `financ`: did you mean `finance`", id="no group"),
        pytest.param(
            {"groups": [], "query": "{ x"},
            "the document is not valid: Syntax Error: Expected Name, found <EOF>.",
            id="no document",
        ),
    ],
)  # fmt: skip
async def test_a_simulation_that_cannot_be_made_says_why(
    engine: QueryEngine, variables: dict[str, Any], message: str
) -> None:
    given = {"query": "{ me { id } }", **variables}
    result = await acme.ask(engine, SIMULATE, "access-review", variables=given)
    assert [(error.code, error.message) for error in result.errors] == [(ErrorCode.BAD_USER_INPUT, message)]


async def test_under_own_views_a_simulation_names_nothing_that_is_hidden(own_view_engine: QueryEngine) -> None:
    """A hidden field is as good as none: the document is refused in the same words."""
    messages = []
    for name in ("salary", "zalary"):
        given = {"query": f"{{ employees {{ nodes {{ {name} }} }} }}", "groups": ["people"]}
        result = await acme.ask(own_view_engine, SIMULATE, "access-review", variables=given)
        messages += [error.message.replace(name, "HERE") for error in result.errors]
    assert messages[0] == messages[1]


async def test_a_person_is_simulated_in_the_groups_that_count_now(database: MetadataDatabase) -> None:
    users.create_user(database, first_name="Ada", last_name="Lovelace", email="ada@acme.example")
    users.join_group(database, "ada@acme.example", "finance")
    users.join_group(database, "ada@acme.example", "alchemy")
    engine = open_engine(acme.build_catalog(), database=database)
    given = {"query": "{ customers { nodes { creditLimit } } }", "person": "ada@acme.example"}
    result = await acme.ask(engine, SIMULATE, "user-administration", variables=given)
    assert result.data is not None
    assert (result.data["simulate"]["groups"], result.data["simulate"]["allowed"]) == (["everyone", "finance"], True)
    users.deactivate_user(database, "ada@acme.example")
    (error,) = (await acme.ask(engine, SIMULATE, "user-administration", variables=given)).errors
    assert error.message == "`ada@acme.example` is deactivated, so nothing is answered to them"


@pytest.mark.parametrize("group", sorted(acme.GROUP_NAMES))
async def test_only_reviewers_simulate_and_compare(engine: QueryEngine, group: str) -> None:
    text = '{ simulate(query: "{ me { id } }", groups: []) { id } policyDiff(to: "extend type Me { id: ID }") { id } }'
    result = await acme.ask(engine, text, group, plan="ONLY")
    denied = {(error.extensions or {})["position"] for error in result.errors}
    may = {"Query.simulate": {"access-review", "user-administration"}, "Query.policyDiff": {"access-review", "audit"}}
    assert denied == {position for position, groups in may.items() if group not in groups}
