"""Declare the register of groups, what groups may see, simulations, differences of policies, and receipts."""

from datetime import datetime
from enum import StrEnum

import strawberry

from onedoor.schema.annotations import Argument, ById, Json, Many, One, allow, owned, with_arguments

REVIEWERS = ("access-review", "user-administration")

POLICY_REVIEWERS = ("access-review", "audit")


@strawberry.enum(
    description="What becomes of a membership that its directory has not confirmed for long: NORMAL: it stays; "
    "SENSITIVE: it counts for nothing until it is confirmed."
)
class GroupSensitivity(StrEnum):
    NORMAL = "NORMAL"
    SENSITIVE = "SENSITIVE"


@strawberry.type(
    description="A functional group of the register, which says what its members do. No group holds another.",
    directives=[allow("everyone"), owned("platform")],
)
class Group:
    id: strawberry.ID = strawberry.field(description="The name of the group.")
    name: str = strawberry.field(description="The name of the group, as rules name it.")
    purpose: str = strawberry.field(description="What its members do.")
    owner: str = strawberry.field(description="The team that answers for it.")
    contact: str | None = strawberry.field(
        description="Where the owner is reached: an e-mail address, a channel or a link."
    )
    sensitivity: GroupSensitivity = strawberry.field(description="How long the word of a directory holds.")
    stale_after_hours: float | None = strawberry.field(
        description="The hours after which an unconfirmed membership from a directory counts for nothing."
    )
    approvers: list[str] = strawberry.field(
        description="The groups whose members decide on requests if they are in `access-review`, too; where it is "
        "empty, all of `access-review` may."
    )
    exclusive: bool = strawberry.field(description="Whether a temporary grant of it has one holder at a time.")
    grant_max_hours: float = strawberry.field(description="The hours that a temporary grant lasts at most.")
    directory_groups: list[str] | None = strawberry.field(
        description="The groups of the directory whose members are in it.", directives=[allow(*REVIEWERS)]
    )


@strawberry.type(
    description="A type, a field or an argument with its rule, decided for you.",
    directives=[allow("everyone"), owned("platform")],
)
class Access:
    id: strawberry.ID = strawberry.field(description="The coordinate, as `coordinate`.")
    coordinate: str = strawberry.field(
        description="The type, field or argument: `Customer`, `Customer.name`, `Query.customers.where`."
    )
    type_name: str = strawberry.field(description="The type.")
    field_name: str | None = strawberry.field(description="The field; null for a type.")
    argument_name: str | None = strawberry.field(description="The argument; null for a type or a field.")
    generated: bool = strawberry.field(
        description="Whether its type is made for a filter, a sort, an aggregate or a page, and has the rules of the "
        "type it is made for."
    )
    allowed: bool = strawberry.field(description="Whether you may use it.")
    masked: bool = strawberry.field(description="Whether you may see a part of each of its values alone.")
    groups: list[str] = strawberry.field(
        description="One group of each of these choices is needed, such as `finance or sales`."
    )
    missing: list[str] = strawberry.field(description="The choices of which you are in no group.")
    owner: str | None = strawberry.field(description="The team that answers for it.")
    contact: str | None = strawberry.field(description="Where the owner is reached.")
    remedy: str | None = strawberry.field(description="How to get access; null if you have it.")


@strawberry.type(
    description="What some groups would be answered, without any data: nothing is read.",
    directives=[allow(*REVIEWERS), owned("platform")],
)
class Simulation:
    id: strawberry.ID = strawberry.field(description="An id of this simulation, of no use in another request.")
    groups: list[str] = strawberry.field(description="The groups that it is decided for.")
    allowed: bool = strawberry.field(description="Whether nothing would be denied.")
    fields: Many["SimulatedField"] = strawberry.field(
        description="The selected fields, from the root down; those below a denied field are not listed."
    )


@strawberry.type(
    description="A field of a simulated document, or a type whose rows it leads to.",
    directives=[allow(*REVIEWERS), owned("platform")],
)
class SimulatedField:
    id: strawberry.ID = strawberry.field(description="The id of the simulation and the place of the field.")
    place: int = strawberry.field(description="The place of the field in the list, from 1.")
    path: str = strawberry.field(description="Where it is in the answer, such as `customers.nodes.name`.")
    coordinate: str = strawberry.field(
        description="The field, such as `Customer.name`; for a field that leads to several types, also each type."
    )
    allowed: bool = strawberry.field(description="Whether it would be answered.")
    masked: bool = strawberry.field(description="Whether a part of each value alone would be shown.")
    reason: str | None = strawberry.field(description="What denies it: the field itself, or what its arguments name.")
    missing: list[str] = strawberry.field(
        description="One group of each of these choices would do, such as `finance or sales`."
    )
    remedy: str | None = strawberry.field(description="How to get access.")


@strawberry.type(
    description="What changes from one set of rules to another, by the recorded documents and by the rules.",
    directives=[allow(*POLICY_REVIEWERS), owned("platform")],
)
class PolicyDiff:
    id: strawberry.ID = strawberry.field(description="An id of this comparison, of no use in another request.")
    documents: int = strawberry.field(description="The recorded documents that were replayed.")
    requests: int = strawberry.field(description="The requests with them.")
    skipped: int = strawberry.field(
        description="The requests that could not be replayed: their document does not fit the schema any more, or "
        "its record does not say enough."
    )
    rules: Many["RuleChange"] = strawberry.field(
        description="The fields and types whose rules differ, but for those that are made for filters, sorts and pages."
    )
    row_rules: Many["RowRuleChange"] = strawberry.field(description="The types whose rules for rows differ.")
    changes: Many["DecisionChange"] = strawberry.field(
        description="The fields of recorded documents that are allowed by one set of rules and denied by the other."
    )


@strawberry.type(
    description="A type, a field or an argument whose rules differ: who may see it, or who sees its values masked.",
    directives=[allow(*POLICY_REVIEWERS), owned("platform")],
)
class RuleChange:
    id: strawberry.ID = strawberry.field(description="The id of the comparison and the place of the rule.")
    place: int = strawberry.field(description="The place of the rule in the list: what is weakened comes first.")
    coordinate: str = strawberry.field(description="The type, field or argument.")
    weakened: bool = strawberry.field(description="Whether somebody may see more by it than before.")
    groups_before: list[str] = strawberry.field(description="One group of each of these choices is needed before.")
    groups_after: list[str] = strawberry.field(description="One group of each of these choices is needed after.")
    unmasked_groups_before: list[str] = strawberry.field(
        description="One group of each of these choices saw the whole of its values before; empty where none was "
        "masked."
    )
    unmasked_groups_after: list[str] = strawberry.field(
        description="One group of each of these choices sees the whole of its values after; empty where none is masked."
    )


@strawberry.type(
    description="A type whose rules for rows differ. Without a rule for any group everybody sees all rows.",
    directives=[allow(*POLICY_REVIEWERS), owned("platform")],
)
class RowRuleChange:
    id: strawberry.ID = strawberry.field(description="The id of the comparison and the place of the rules.")
    place: int = strawberry.field(description="The place of the rules in the list: what is weakened comes first.")
    type_name: str = strawberry.field(description="The type.")
    weakened: bool = strawberry.field(description="Whether somebody may see more rows than before.")
    rows_before: list[str] = strawberry.field(description="Which rows each group saw before: `vendor: all rows`.")
    rows_after: list[str] = strawberry.field(description="Which rows each group sees after.")


@strawberry.type(
    description="A field of a recorded document whose decision differs, for those groups that sent the document. What "
    "is replayed is its shape: values are not recorded, and what `@skip` and `@include` select counts as selected.",
    directives=[allow(*POLICY_REVIEWERS), owned("platform")],
)
class DecisionChange:
    id: strawberry.ID = strawberry.field(description="The id of the comparison and the place of the change.")
    place: int = strawberry.field(description="The place of the change in the list, from 1.")
    operation: str | None = strawberry.field(description="The name of the operation, if it has one.")
    operation_hash: str = strawberry.field(description="The digest of its document, as in `requests`.")
    path: str = strawberry.field(description="Where the field is in the answer.")
    coordinate: str = strawberry.field(description="The field, or the type whose rows it leads to.")
    reason: str = strawberry.field(description="What denies it: the field itself, or what its arguments name.")
    allowed_before: bool = strawberry.field(description="Whether it is answered by the rules before.")
    allowed_after: bool = strawberry.field(description="Whether it is answered by the rules after.")
    groups: list[str] = strawberry.field(description="The groups that the document was sent with.")
    requests: int = strawberry.field(description="How many requests sent it with these groups.")
    last_request_at: datetime = strawberry.field(description="When the last of them came.")


@strawberry.type(
    description="Proof of one answer that was given: the audit log, sealed by a signed checkpoint, says who was given "
    "it. Store it beside the answer; `python -m onedoor audit verify-receipt` checks both.",
    directives=[allow("everyone"), owned("platform")],
)
class Receipt:
    id: strawberry.ID = strawberry.field(description="The id of the record, as `record`.")
    record: str = strawberry.field(
        description="The id of the record, as the header `X-Request-Id` of the answer has it."
    )
    time: datetime = strawberry.field(description="When the request arrived.")
    person: str | None = strawberry.field(description="The id of who was answered.")
    algorithm: str = strawberry.field(description="How `digest` and `rest` are computed.")
    digest: str = strawberry.field(description="The digest of the exact text of `data` in the answer.")
    statement: str = strawberry.field(
        description="What the log says of the answer: the first part of the record's line."
    )
    rest: str = strawberry.field(description="The digest of the other part of the line.")
    place: int = strawberry.field(description="The place of the record among those that the checkpoint seals, from 0.")
    size: int = strawberry.field(description="How many lines the checkpoint seals; 0 while none does.")
    path: list[str] = strawberry.field(
        description="The digests that lead from the record to the root that was signed (RFC 9162, section 2.1.3)."
    )
    checkpoint: str | None = strawberry.field(
        description="The signed checkpoint; null until there is one, a minute after the answer, and where nothing "
        "seals the records."
    )


@strawberry.type
class Query:
    group: ById["Group"] = strawberry.field(description="The group with this name.")
    groups: Many["Group"] = strawberry.field(description="The groups of the register.")
    my_access: Many["Access"] = strawberry.field(
        description="All that you may know of, with whether you may use it, and whom to ask where you may not."
    )
    access: One["Access"] = strawberry.field(
        description="One type, field or argument, decided for you; null if you know of none of that name.",
        metadata=with_arguments(
            coordinate=Argument(str, "The coordinate, such as `Customer`, `Customer.name` or `Query.customers.where`.")
        ),
    )
    simulate: One["Simulation"] = strawberry.field(
        description="Decides a document as for a person or for groups: which fields would be answered, and which "
        "denied. Nothing is read.",
        metadata=with_arguments(
            query=Argument(str, "The document."),
            operation_name=Argument(str, "The operation, if the document has several.", default=None),
            variables=Argument(Json, "The variables of the operation, an object.", default=None),
            person=Argument(str, "The person, by e-mail address or id.", default=None),
            groups=Argument(
                list[str], "The groups, in place of a person; `everyone` goes without saying.", default=None
            ),
        ),
    )
    receipt: One["Receipt"] = strawberry.field(
        description="The receipt for an answer that you were given, or for any if you are in `audit`; null for any "
        "other record.",
        metadata=with_arguments(record=Argument(strawberry.ID, "The id of the record.")),
    )
    policy_diff: One["PolicyDiff"] = strawberry.field(
        description="Replays the recorded documents under other rules: whose requests would be answered otherwise. "
        "Nothing is read but the records.",
        metadata=with_arguments(
            **{
                "from": Argument(str, "The rules before, as `to`; without them, those in force.", default=None),
                "to": Argument(
                    str,
                    "The rules after, as SDL. A field that it names has the rule given there; a type that it "
                    "extends (`extend type Customer { ... }`) keeps its own.",
                ),
                "since": Argument(
                    datetime, "Only documents that were sent since; without it, in the last 30 days.", default=None
                ),
            }
        ),
    )
