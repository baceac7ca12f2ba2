"""`policyDiff` replays recorded documents under other rules and names the decisions that change."""

from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from graphql import parse

from onedoor.audit.log import open_audit_log
from onedoor.audit.record import AuditOutcome, AuditRecord, hash_literals, hash_variables, normalize_document
from onedoor.errors import ConfigurationError
from onedoor.model.row_rules import ALL_ROWS, Compared, attribute, describe_rule
from onedoor.query.authorize import authorize
from onedoor.query.replay import (
    collect_recorded_fields,
    collect_shapes,
    find_changed_row_rules,
    find_changed_rules,
    format_row_rules,
    replay,
)
from onedoor.query.simulation import list_field_decisions, simulate
from onedoor.schema.builder import print_sdl
from onedoor.schema.proposed_rules import build_proposed_row_rules
from onedoor.schema.visibility import build_visible_schema
from onedoor.spi.predicates import Op
from tests import acme
from tests.query.access.services import Document, load_golden_documents, open_engine, propose

REPLAYED = [document for document in load_golden_documents() if document.name != "skip_and_include"]
"""What stands behind `@skip` is replayed too: of its condition nothing is known."""
KEY = b"key"
TIME = "2026-11-30T12:00:00.000000+00:00"
OPENED = 'extend type Customer { creditLimit: Decimal @allow(groups: ["finance", "sales"]) }'
CLOSED = 'extend type Customer { email: String @allow(groups: ["finance"]) }'
DIFF = """query ($to: String!, $from: String) {
  policyDiff(from: $from, to: $to, since: "2026-01-01T00:00:00Z") {
    documents requests skipped
    rules { nodes { coordinate groupsBefore groupsAfter } }
    changes { nodes { operation path coordinate reason allowedBefore allowedAfter groups requests lastRequestAt } }
  }
}"""


def record(document: Document, *groups: str, time: str = TIME) -> AuditRecord:
    """What the audit log says of a document."""
    node = parse(document.text)
    return AuditRecord(
        id=f"R{time}", time=time, surface="graphql", outcome=AuditOutcome.ANSWERED, status=200, operation=document.name,
        groups=("everyone", *groups), operation_hash=document.name, text=normalize_document(node),
        literals=hash_literals(node, KEY), variables=hash_variables(document.variables, KEY),
    )  # fmt: skip


def write_records(folder: Path, *records: AuditRecord) -> Path:
    log = open_audit_log(folder, datetime(2026, 11, 30, tzinfo=UTC))
    for item in records:
        log.append_nowait(item)
    log.close()
    return folder


def ask_document(text: str, **variables: Any) -> Document:
    return Document(name="Q", text=f"query Q{text}", variables=variables)


@pytest.mark.parametrize("document", REPLAYED, ids=lambda document: document.name)
def test_a_recorded_shape_is_decided_as_the_document_itself(document: Document) -> None:
    catalog = acme.build_catalog()
    named = document.name if f"query {document.name}" in document.text else None
    (shape,) = collect_shapes([{**record(document).to_json(), "operation": named}]).counts
    fields = collect_recorded_fields(catalog, shape, catalog.schema)
    for group in ("everyone", "sales", "finance"):
        groups = acme.caller(group).groups
        replayed = list_field_decisions(
            catalog.schema, fields, authorize(catalog.schema, catalog.policy, fields, groups)
        )
        simulated = simulate(catalog, catalog.schema, document.text, groups, variables=document.variables)
        assert replayed == simulated


@pytest.mark.parametrize(
    "text",
    [
        "($first: Int = 3) { customers(first: $first) { nodes { name } } }",
        '($where: CustomerWhere = {name: {eq: "x"}}) { customers(where: $where) { nodes { name } } }',
        "($show: Boolean!) { customers { nodes { name @include(if: $show) } } }",
        "{ customers { nodes { name @skip(if: true) } } }",
        "{ customers(first: 2) { ...F } } fragment F on CustomerConnection { nodes { name } }",
    ],
)
def test_a_shape_with_defaults_and_conditions_reaches_its_fields(text: str) -> None:
    catalog = acme.build_catalog()
    (shape,) = collect_shapes([record(ask_document(text)).to_json()]).counts
    fields = collect_recorded_fields(catalog, shape, catalog.schema)
    decisions = list_field_decisions(
        catalog.schema, fields, authorize(catalog.schema, catalog.policy, fields, acme.caller("sales").groups)
    )
    assert "customers.nodes.name" in {decision.path for decision in decisions}


@pytest.mark.parametrize(
    ("variables", "skipped"),
    [
        pytest.param({"by": {"name": "ASC"}}, 0, id="one in place of a list"),
        pytest.param({"by": [{"name": "ASC"}, {"country": "DESC"}]}, 0, id="a list"),
        pytest.param({"by": None}, 0, id="null"),
        pytest.param({"by": "name"}, 1, id="what was never valid"),
        pytest.param({"by": [{"gone": "ASC"}]}, 1, id="a field that has gone"),
        pytest.param({"other": 1}, 0, id="what the document does not take"),
    ],
)
def test_variables_of_any_shape_are_replayed_or_counted(variables: dict[str, Any], skipped: int) -> None:
    catalog, text = acme.build_catalog(), "($by: [CustomerOrder!]) { customers(orderBy: $by) { nodes { name } } }"
    shapes = collect_shapes([record(ask_document(text, **variables)).to_json()])
    assert replay(catalog, catalog.policy, catalog.policy, shapes, view=catalog.schema).skipped == skipped


def test_requests_of_one_shape_count_as_one_document() -> None:
    texts = ["{ customer(id: 1) { name } }", "{ customer(id: 2) { name } }"]
    records = [record(ask_document(text), "sales").to_json() for text in texts]
    shapes = collect_shapes([*records, record(ask_document(texts[0]), "finance").to_json()])
    assert sorted((sorted(shape.groups), count) for shape, count in shapes.counts.items()) == [
        (["everyone", "finance"], 1), (["everyone", "sales"], 2),
    ]  # fmt: skip


def test_what_a_record_does_not_say_enough_of_is_counted() -> None:
    catalog = acme.build_catalog()
    records = [
        {**record(ask_document("{ me { id } }")).to_json(), **changes}
        for changes in (
            {"text": None},
            {"text": "unparsed, 3 characters", "operation_hash": None},
            {"variables": {"omitted": "more than 5000 values or 32 levels"}},
            {"text": "query Q {\n  gone\n}"},
            {},
        )
    ]
    result = replay(catalog, catalog.policy, catalog.policy, collect_shapes(records), view=catalog.schema)
    assert (result.documents, result.requests, result.skipped, result.changes) == (1, 1, 3, ())


async def test_the_difference_names_documents_fields_and_groups(tmp_path: Path) -> None:
    limits = ask_document("{ customers(where: {creditLimit: {gt: 5}}) { nodes { name } } }")
    records = write_records(
        tmp_path, record(limits, "sales"), record(limits, "sales"), record(limits, "finance"), record(limits, "support")
    )
    engine = open_engine(acme.build_catalog(), records=records)
    result = await acme.ask(engine, DIFF, "access-review", variables={"to": OPENED})
    assert result.errors == []
    assert result.data is not None
    diff = result.data["policyDiff"]
    assert (diff["documents"], diff["requests"], diff["skipped"]) == (1, 4, 0)
    assert diff["changes"]["nodes"] == [
        {
            "operation": "Q", "path": "customers", "coordinate": "Query.customers",
            "reason": "CustomerWhere.creditLimit", "allowedBefore": False, "allowedAfter": True,
            "groups": ["everyone", "sales"], "requests": 2, "lastRequestAt": "2026-11-30T12:00:00Z",
        }
    ]  # fmt: skip
    assert [(rule["coordinate"], rule["groupsAfter"]) for rule in diff["rules"]["nodes"]] == [
        ("CreateCustomerInput.creditLimit", ["finance or sales"]),
        ("Customer.creditLimit", ["finance or sales"]),
        ("CustomerValues.creditLimit", ["finance or sales"]),
        ("UpdateCustomerInput.creditLimit", ["finance or sales"]),
    ]
    assert {scan.source for scan in result.scan_stats} == {"access"}


async def test_two_proposals_are_compared_with_each_other(tmp_path: Path) -> None:
    records = write_records(tmp_path, record(ask_document("{ customers { nodes { email creditLimit } } }"), "sales"))
    engine = open_engine(acme.build_catalog(), records=records)
    result = await acme.ask(engine, DIFF, "audit", variables={"from": OPENED, "to": CLOSED})
    assert result.data is not None
    assert [
        (change["path"], change["allowedBefore"], change["allowedAfter"])
        for change in result.data["policyDiff"]["changes"]["nodes"]
    ] == [("customers.nodes.email", True, False), ("customers.nodes.creditLimit", True, False)]


async def test_under_own_views_nothing_hidden_is_named(tmp_path: Path) -> None:
    """The record of somebody else's request is no way to learn what there is."""
    document, policy = acme.load_document(), acme.load_schema_and_policy()[1]
    records = write_records(tmp_path, record(ask_document("{ customers { nodes { email } } }"), "sales"))
    catalog = replace(acme.build_catalog(), schema_for_groups=partial(build_visible_schema, document, policy))
    result = await acme.ask(open_engine(catalog, records=records), DIFF, "access-review", variables={"to": CLOSED})
    assert result.data == {
        "policyDiff": {"documents": 0, "requests": 0, "skipped": 1, "rules": {"nodes": []}, "changes": {"nodes": []}}
    }


@pytest.mark.parametrize(
    ("field", "is_masked_after"),
    [
        ('phone: String @allow(groups: ["sales", "support"])', False),
        ('email: String @allow(groups: ["sales", "support"]) @masked(groups: ["support"])', True),
    ],
    ids=["no longer masked", "masked"],
)
def test_a_mask_that_comes_or_goes_is_a_difference(field: str, is_masked_after: bool) -> None:
    policy, name = acme.load_schema_and_policy()[1], field.partition(":")[0]
    proposed = propose(f"extend type Customer {{ {field} }}")
    (rule,) = find_changed_rules(policy, proposed, [("Customer", "name"), ("Customer", name)])
    unmasked = frozenset({"sales"})
    assert (unmasked in rule.before.unmasked_requirements, unmasked in rule.after.unmasked_requirements) == (
        not is_masked_after, is_masked_after,
    )  # fmt: skip
    assert rule.is_weakened is not is_masked_after


def test_rules_that_are_weakened_come_first() -> None:
    policy = acme.load_schema_and_policy()[1]
    proposed = propose('extend type Customer { creditLimit: Decimal @allow(groups: ["finance", "sales"]) }')
    coordinates = [("Customer", "creditLimit"), ("Customer", "email")]
    for before, after, weakened in ((policy, proposed, True), (proposed, policy, False)):
        assert [rule.is_weakened for rule in find_changed_rules(before, after, coordinates)] == [weakened]
    both = propose(
        'extend type Customer { email: String @allow(groups: ["finance"]) '
        'creditLimit: Decimal @allow(groups: ["finance", "sales"]) }'
    )
    changed = find_changed_rules(policy, both, reversed(coordinates))
    assert [(rule.coordinate[1], rule.is_weakened) for rule in changed] == [("creditLimit", True), ("email", False)]


OWN_ROWS = "vendor is the attribute vendor"


@pytest.mark.parametrize(
    ("text", "after", "weakened"),
    [
        ("type Customer { id: ID! }", [], True),
        (
            f'extend type Customer @limited(group: "sales", rows: "{OWN_ROWS}") '
            f'@limited(group: "vendor", rows: "{OWN_ROWS}")',
            [f"sales: {OWN_ROWS}", f"vendor: {OWN_ROWS}"],
            False,
        ),
        ('extend type Customer @limited(group: "vendor", rows: "all rows")', ["vendor: all rows"], True),
    ],
    ids=["no rules any more", "fewer rows", "more rows"],
)
async def test_rules_for_rows_that_come_go_or_change_are_a_difference(
    text: str, after: list[str], weakened: bool
) -> None:
    rules = acme.parts().row_rules
    (changed,) = find_changed_row_rules(rules, build_proposed_row_rules(rules, text))
    assert (changed.type, list(format_row_rules(changed.after)), changed.is_weakened) == ("Customer", after, weakened)
    assert f"vendor: {OWN_ROWS}" in format_row_rules(changed.before)


async def test_the_difference_names_rules_for_rows_to_whoever_may_know_the_type(tmp_path: Path) -> None:
    records = write_records(tmp_path)
    query = "query ($to: String!) { policyDiff(to: $to) { rowRules { nodes { typeName weakened rowsAfter } } } }"
    to = 'extend type Customer @limited(group: "vendor", rows: "all rows")'
    open_view = await acme.ask(open_engine(acme.build_catalog(), records=records), query, "audit", variables={"to": to})
    assert open_view.data == {
        "policyDiff": {
            "rowRules": {"nodes": [{"typeName": "Customer", "weakened": True, "rowsAfter": ["vendor: all rows"]}]}
        }
    }
    document, policy = acme.load_document(), acme.load_schema_and_policy()[1]
    catalog = replace(acme.build_catalog(), schema_for_groups=partial(build_visible_schema, document, policy))
    own_view = await acme.ask(open_engine(catalog, records=records), query, "audit", variables={"to": to})
    assert own_view.data == {"policyDiff": {"rowRules": {"nodes": []}}}


def test_the_sdl_of_the_schema_changes_no_rule_for_rows() -> None:
    rules = acme.parts().row_rules
    printed = print_sdl(acme.load_schema_modules(), acme.parts().masking_groups, rules)
    assert find_changed_row_rules(rules, build_proposed_row_rules(rules, printed)) == []


def test_rules_for_rows_that_are_the_same_are_written_the_same() -> None:
    recent = Compared(Op.GTE, date(2026, 1, 1))
    rule = {"region": ("north", "east"), "customer": {"vendor": attribute("vendor")}, "placed": recent, "open": True}
    written = (
        "customer has (vendor is the attribute vendor) and open is True and placed gte 2026-01-01 and "
        "region is one of (east, north)"
    )
    assert describe_rule(rule) == describe_rule(dict(reversed(rule.items()))) == written
    assert describe_rule([rule, {"id": 1}]) == describe_rule([{"id": 1}, rule]) == f"{written} or id is 1"
    assert (describe_rule({}), describe_rule(ALL_ROWS)) == ("no row", "all rows")


def test_the_sdl_of_the_schema_changes_nothing() -> None:
    policy = acme.load_schema_and_policy()[1]
    assert (
        find_changed_rules(
            policy, propose(print_sdl(acme.load_schema_modules(), acme.parts().masking_groups)), policy.requirements
        )
        == []
    )


def test_a_type_that_is_defined_takes_its_rule_from_there_and_its_generated_types_follow() -> None:
    policy = acme.load_schema_and_policy()[1]
    proposed = propose('type Site @allow(groups: ["support"]) { gone: Int }')
    changed = {change.coordinate[0] for change in find_changed_rules(policy, proposed, policy.requirements)}
    assert changed >= {"Site", "SiteConnection", "SiteWhere", "Query"} - {"Site"}
    assert proposed.requirements["Site", "id"] == (frozenset({"support"}),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type {", "the rules are not SDL: Syntax Error: Expected Name, found '{'."),
        ("extend type Custmer { name: String }", "there is no type `Custmer`: did you mean `Customer`"),
        ("extend type Customer { nme: String }", "there is no field of `Customer` `nme`: did you mean `name`"),
        (
            'extend type Customer { email: String @allow(groups: ["finnace"]) }',
            "`Customer.email` allows `finnace`, which is not a registered group: did you mean `finance`",
        ),
        ("type Site { id: ID }", "`Query.site` is open to nobody, give it or its type `@allow(groups: [...])`"),
        (
            'extend type Customer { name: String @allow(groups: ["finance"]) }',
            "`Customer.name` is never null but not all who see its type may see it, make it nullable",
        ),
    ],
)
def test_rules_that_cannot_be_are_refused_in_a_sentence(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        propose(text)
    assert str(caught.value) == message
