"""Decide who may see the fields of a query, in the plainest way. It is meant to be read, not to be fast."""

from collections.abc import Iterator
from typing import Any

from tests.security.permission.random_schema import DrawnField, Schema


def decisions(schema: Schema, groups: frozenset[str], wanted: DrawnField, kind: str) -> Iterator[tuple[str, str, bool]]:
    """(key, type, shown) of a field and, where it is shown, of all that is wanted below it."""
    if wanted.name == "__typename":
        return
    arguments = schema[kind].members[wanted.name].arguments
    shown = is_open(schema, groups, kind, wanted.name) and all(
        arguments[name].rule is None or bool(arguments[name].rule & groups) for name in wanted.arguments
    )
    shown &= all(used(schema, groups, arguments[name].to, value) for name, value in wanted.arguments.items())
    yield wanted.key, kind, shown
    for child in wanted.below if shown else ():
        for concrete in child.kinds:
            if not leads_to_an_interface(schema, kind, wanted.name) or is_type_known(schema, groups, concrete):
                yield from decisions(schema, groups, child, concrete)


def leads_to_an_interface(schema: Schema, kind: str, name: str) -> bool:
    to = schema.get(schema[kind].members[name].to.strip("[!]"))
    return to is not None and to.keyword == "interface"


def is_type_known(schema: Schema, groups: frozenset[str], concrete: str) -> bool:
    """Whether it may be told that a row is of this type, where it could be of another; what nobody opened is shut."""
    rules = [schema[parent].rule for parent in (concrete, *schema[concrete].above)]
    return any(rules) and all(rule & groups for rule in rules if rule is not None)


def is_open(schema: Schema, groups: frozenset[str], kind: str, name: str) -> bool:
    member, above = schema[kind].members[name], [schema[parent] for parent in schema[kind].above]
    target = schema.get(member.to.strip("[!]"))
    allowed = [schema[kind].rule, member.rule, target and target.rule, *(parent.rule for parent in above)]
    allowed += [parent.members[name].rule for parent in above if name in parent.members]
    return any(allowed) and all(rule & groups for rule in allowed if rule is not None)


def used(schema: Schema, groups: frozenset[str], to: str, value: Any) -> bool:
    if isinstance(value, list):
        return all(used(schema, groups, to.strip("[!]"), item) for item in value)
    if not isinstance(value, dict):
        return True
    members = schema[to.strip("[!]")].members
    return all(
        is_open(schema, groups, to.strip("[!]"), name) and used(schema, groups, members[name].to, item)
        for name, item in value.items()
    )
