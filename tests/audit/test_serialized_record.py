"""The fast writer and the plain one serialize a request to the same line."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from onedoor.audit.record import AuditedChange, to_line
from onedoor.query.audited import classify_outcome
from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine
from onedoor.query.request_record import RequestFacts, build_audit_record, serialize_audit_record
from tests import acme

ASKED = [
    pytest.param("{ customer(id: 7) { name } }", {}, {}, id="one row, a literal"),
    pytest.param("query($n: Int!) { customers(first: $n) { nodes { name orders(first: 1) { nodes { total } } } } }",
                 {"n": 2}, {}, id="variables, many reads"),
    pytest.param("query Q { customer(id: 7) { creditLimit email } }", {}, {}, id="withheld, named"),
    pytest.param("{ customers(orderBy: [{name: ASC}]) { groups(by: [{country: VALUE}]) { key { country } } } }", {}, {},
                 id="fields used"),
    pytest.param("{ __typename }", {}, {}, id="no source"),
    pytest.param("{ customers(first: 1) { nodes { name } } }", {}, {"plan": "ONLY"}, id="a plan alone"),
    pytest.param("{ customer(id: 7) { creditLimit } }", {}, {"allOrNothing": True}, id="refused whole"),
    pytest.param("{ nobody }", {}, {}, id="refused"),
]  # fmt: skip


CHANGED = AuditedChange(
    id="I-1", type="Customer", row="a" * 32, verb="update", state="DONE", before=None, after="b" * 32
)


@pytest.fixture(scope="module")
def engine() -> QueryEngine:
    return acme.open_engine(acme.build_catalog())


def visit(text: str, variables: Any, theirs: str | None, number: int) -> RequestFacts:
    return RequestFacts(
        id=f"{number:026}", received_at=datetime(2026, 11, 1, 12, number, tzinfo=UTC),
        principal=replace(acme.caller("support"), secret=number or None),
        request=GraphQLRequest(query=text, variables=variables), client_request_id=theirs, status=200 + number,
        bytes=number * 1000, ms=number / 3, digest="d" * 64 if number else None, salt="5" * 32 if number else None,
    )  # fmt: skip


@pytest.mark.parametrize(("text", "variables", "options"), ASKED)
async def test_the_line_put_together_is_the_line_of_the_record(
    engine: QueryEngine, text: str, variables: dict[str, Any], options: dict[str, Any]
) -> None:
    for number, theirs in enumerate((None, "their-7", "\x1b[2J", "od_" + "0" * 12 + "_" + "0" * 43 + "_000000")):
        result: ExecutionResult = await acme.ask(engine, text, "support", variables=variables, **options)
        seen = visit(text, variables, theirs, number)
        result.changes += [CHANGED] * number
        came = classify_outcome(result)
        assert serialize_audit_record(engine, b"a key", seen, result, came) == to_line(
            build_audit_record(engine, b"a key", seen, result, came)
        )
