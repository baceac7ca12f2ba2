"""A schema with an open gap does not build: one bad schema for each rule, and its error."""

import pytest
from graphql import DocumentNode, parse

from auth.groups import FunctionalGroup, Groups
from onedoor.schema.builder import check_groups, check_permissions, derive_policy
from onedoor.schema.reader import SchemaError

GROUPS = Groups(FunctionalGroup(name=name, purpose="-", owner="-") for name in ("finance", "people", "sales"))

GOOD = """
type Query { "Who." employee: Employee }
interface Post @allow(groups: ["sales"]) { "What." text: String @allow(groups: ["sales", "finance"]) }
type Employee implements Post @allow(groups: ["sales"]) {
  "What."
  text: String! @allow(groups: ["sales"])
  "Yearly."
  salary: Int @allow(groups: ["finance", "people"])
}
input EmployeeWhere @allow(groups: ["sales"]) { "Yearly." salary: Int @allow(groups: ["finance", "people"]) }
"""


def test_a_schema_that_keeps_every_rule_builds() -> None:
    check_permissions(parse(GOOD))


def check(document: DocumentNode) -> None:
    check_permissions(document)
    check_groups(derive_policy(document), GROUPS)


@pytest.mark.parametrize(
    ("sdl", "message"),
    [
        pytest.param(
            'type Employee { "Yearly." salary: Int }',
            "`Employee.salary` is open to nobody, give it or its type `@allow(groups: [...])`",
            id="a field open to nobody",
        ),
        pytest.param(
            'type Employee @allow(groups: []) { "Yearly." salary: Int }',
            "`Employee.salary` is open to nobody, give it or its type `@allow(groups: [...])`",
            id="a rule that names no group",
        ),
        pytest.param(
            'type Employee @allow(groups: ["sales"]) { "Yearly." salary: Int @allow(groups: []) }',
            "`Employee.salary` is open to nobody, give it or its type `@allow(groups: [...])`",
            id="a type's rule does not open what its own rule shuts",
        ),
        pytest.param(
            'input EmployeeWhere { "Yearly." salary: Int }',
            "`EmployeeWhere.salary` is open to nobody, give it or its type `@allow(groups: [...])`",
            id="an input field open to nobody",
        ),
        pytest.param(
            'type Employee @allow(groups: ["finanse"]) { "Yearly." salary: Int }',
            "`Employee.salary` allows `finanse`, which is not a registered group: did you mean `finance`",
            id="a group nobody registered, with the nearest name",
        ),
        pytest.param(
            'type Employee @allow(groups: ["qqq"]) { "Yearly." salary: Int }',
            "`Employee.salary` allows `qqq`, which is not a registered group: register it in groups.toml",
            id="a group like none that is registered",
        ),
        pytest.param(
            'type Employee @allow(groups: ["sales"]) @allow(groups: ["people"]) { "Yearly." salary: Int }',
            "`Employee` has `@allow` twice, join the two into one",
            id="the same directive twice on a type",
        ),
        pytest.param(
            'type Employee { "Yearly." salary: Int @allow(groups: ["sales"]) @allow(groups: ["people"]) }',
            "`Employee.salary` has `@allow` twice, join the two into one",
            id="the same directive twice on a field",
        ),
        pytest.param(
            'interface Post @allow(groups: ["sales"]) { "What." text: String }\n'
            'type Note implements Post @allow(groups: ["sales", "people"]) { "What." text: String }',
            "`Note.text` is open to more groups than its interface allows, narrow it to ['sales']",
            id="a type open to more than its interface",
        ),
        pytest.param(
            'interface Post @allow(groups: ["sales"]) { "What." text: String @allow(groups: ["people"]) }\n'
            'type Note implements Post @allow(groups: ["sales"]) { "What." text: String }',
            "`Note.text` is open to more groups than its interface allows, narrow it to ['people']",
            id="a field open to more than its interface's",
        ),
        pytest.param(
            'type Employee @allow(groups: ["sales"]) { "Yearly." salary: Int! @allow(groups: ["people"]) }',
            "`Employee.salary` is never null but not all who see its type may see it, make it nullable",
            id="never null where it may be withheld",
        ),
        pytest.param(
            'type Employee @allow(groups: ["sales"]) { "Paid." pay: Pay! }\n'
            'type Pay @allow(groups: ["people"]) { "Yearly." salary: Int! }',
            "`Employee.pay` is never null but not all who see its type may see it, make it nullable",
            id="never null where what it leads to may be withheld",
        ),
        pytest.param(
            'type Employee @allow(groups: ["sales"]) { salary: Int }',
            "`Employee.salary` has no description, say what the name does not",
            id="a field without a description",
        ),
    ],
)
def test_a_schema_that_breaks_a_rule_does_not_build(sdl: str, message: str) -> None:
    with pytest.raises(SchemaError) as refused:
        check(parse(sdl))
    assert str(refused.value) == message
