"""A denied field is denied in whatever form a document asks for it, and the same form shows it to who may see it."""

from typing import Any

import pytest

from onedoor.errors import ErrorCode
from onedoor.query.context import GraphQLRequest, QueryEngine
from onedoor.query.engine import execute
from tests import acme
from tests.acme import ask
from tests.query.pushdown.strict import Strict
from tests.security.permission.conftest import list_requests

ME = 'employee(id: "1")'
SALARY = "243000.00"
FORMS = {
    "as it is": (f"{{ {ME} {{ salary }} }}", ["employee", "salary"]),
    "under another name": (f"{{ {ME} {{ pay: salary }} }}", ["employee", "pay"]),
    "under the name of an open field": (f"{{ {ME} {{ firstName: salary }} }}", ["employee", "firstName"]),
    "below an alias": (f"{{ me: {ME} {{ salary }} }}", ["me", "salary"]),
    "twice": (f"{{ {ME} {{ salary salary }} }}", ["employee", "salary"]),
    "beside itself under another name": (f"{{ {ME} {{ id salary also: salary }} }}", ["employee", "also"]),
    "in a parent that is asked for twice": (f"{{ {ME} {{ id }} {ME} {{ salary }} }}", ["employee", "salary"]),
    "in an inline fragment": (f"{{ {ME} {{ ... on Employee {{ salary }} }} }}", ["employee", "salary"]),
    "in an inline fragment without a type": (f"{{ {ME} {{ ... {{ salary }} }} }}", ["employee", "salary"]),
    "in a fragment of the root": (f"{{ ... on Query {{ {ME} {{ salary }} }} }}", ["employee", "salary"]),
    "in a fragment": (f"{{ {ME} {{ ...Pay }} }} fragment Pay on Employee {{ salary }}", ["employee", "salary"]),
    "in a fragment of a fragment": (
        f"{{ {ME} {{ ...All }} }} fragment All on Employee {{ id ...Pay }} fragment Pay on Employee {{ salary }}",
        ["employee", "salary"],
    ),
    "in a fragment that an open one is merged with": (
        f"{{ {ME} {{ ...Open ...Pay }} }} fragment Open on Employee {{ id firstName }}"
        " fragment Pay on Employee { id salary }",
        ["employee", "salary"],
    ),
    "included": (f"{{ {ME} {{ salary @include(if: true) }} }}", ["employee", "salary"]),
    "not skipped": (f"{{ {ME} {{ salary @skip(if: false) }} }}", ["employee", "salary"]),
    "included by a variable": (
        f"query ($yes: Boolean = true) {{ {ME} {{ salary @include(if: $yes) }} }}",
        ["employee", "salary"],
    ),
    "skipped once and asked for once": (f"{{ {ME} {{ salary @skip(if: true) salary }} }}", ["employee", "salary"]),
    "in an included fragment": (f"{{ {ME} {{ ... @include(if: true) {{ salary }} }} }}", ["employee", "salary"]),
    "through links": (
        f"{{ {ME} {{ reports(first: 1) {{ nodes {{ manager {{ salary }} }} }} }} }}",
        ["employee", "reports", "nodes", 0, "manager", "salary"],
    ),
    "in a node": ("{ employees(first: 1) { nodes { salary } } }", ["employees", "nodes", 0, "salary"]),
    "in an edge": (
        "{ employees(first: 1) { edges { node { salary } } } }",
        ["employees", "edges", 0, "node", "salary"],
    ),
}
"""By form, a document, and where the salary of one employee stands in its answer."""


@pytest.mark.parametrize(("text", "place"), FORMS.values(), ids=FORMS)
async def test_a_denied_field_is_null_and_never_fetched_in_whatever_form(
    engine: QueryEngine, recorded_sources: dict[str, Strict], text: str, place: list[str | int]
) -> None:
    answer = await ask(engine, text, "sales")
    assert SALARY not in str(answer.data)
    assert "salary" not in repr(list_requests(recorded_sources))
    assert {(error.code, (error.extensions or {})["position"]) for error in answer.errors} == {
        (ErrorCode.FORBIDDEN, "Employee.salary")
    }
    assert find_value(answer.data, place) is None


@pytest.mark.parametrize(("text", "place"), FORMS.values(), ids=FORMS)
async def test_the_same_form_shows_it_to_who_may_see_it(engine: QueryEngine, text: str, place: list[str | int]) -> None:
    answer = await ask(engine, text, "people")
    assert answer.errors == []
    assert find_value(answer.data, place) == SALARY


def find_value(data: Any, place: list[str | int]) -> Any:
    for name in place:
        data = data[name]
    return data


@pytest.mark.parametrize(("name", "codes"), [("Open", []), ("Pay", [ErrorCode.FORBIDDEN])])
async def test_of_several_operations_the_one_that_is_run_is_decided(
    engine: QueryEngine, recorded_sources: dict[str, Strict], name: str, codes: list[ErrorCode]
) -> None:
    text = f"query Open {{ {ME} {{ id }} }} query Pay {{ {ME} {{ id salary }} }}"
    answer = await execute(
        engine, acme.caller("sales"), GraphQLRequest(query=text, operation_name=name), record=acme.RECORD
    )
    assert [error.code for error in answer.errors] == codes
    assert "salary" not in repr(list_requests(recorded_sources))


async def test_fragments_in_a_circle_are_rejected_unread(
    engine: QueryEngine, recorded_sources: dict[str, Strict]
) -> None:
    circle = "fragment A on Employee { salary ...B } fragment B on Employee { id ...A }"
    answer = await ask(engine, f"{{ {ME} {{ ...A }} }} {circle}", "people")
    assert (answer.rejected, answer.data) == (True, None)
    assert list_requests(recorded_sources) == []
