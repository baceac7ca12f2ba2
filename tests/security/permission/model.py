"""The model: a drawn schema, a question and groups in, each decision out. It is meant to be read, not to be fast."""

from collections.abc import Iterator
from typing import Any

from tests.security.permission.drawn import Schema, Wanted


def decisions(schema: Schema, groups: frozenset[str], wanted: Wanted, kind: str) -> Iterator[tuple[str, str, bool]]:
    """(key, type, shown) of a field and, where it is shown, of all that is wanted below it."""
    if wanted.name == "__typename":
        return
    arguments = schema[kind].members[wanted.name].arguments
    shown = opened(schema, groups, kind, wanted.name) and all(
        arguments[name].rule is None or bool(arguments[name].rule & groups) for name in wanted.arguments
    )
    shown &= all(used(schema, groups, arguments[name].to, value) for name, value in wanted.arguments.items())
    yield wanted.key, kind, shown
    for each in wanted.below if shown else ():
        for concrete in each.kinds:
            if not leads_to_an_interface(schema, kind, wanted.name) or known(schema, groups, concrete):
                yield from decisions(schema, groups, each, concrete)


def leads_to_an_interface(schema: Schema, kind: str, name: str) -> bool:
    to = schema.get(schema[kind].members[name].to.strip("[!]"))
    return to is not None and to.keyword == "interface"


def known(schema: Schema, groups: frozenset[str], concrete: str) -> bool:
    """Whether it may be told that a row is of this type, where it could be of another; what nobody opened is shut."""
    said = [schema[each].rule for each in (concrete, *schema[concrete].above)]
    return any(said) and all(rule & groups for rule in said if rule is not None)


def opened(schema: Schema, groups: frozenset[str], kind: str, name: str) -> bool:
    member, above = schema[kind].members[name], [schema[each] for each in schema[kind].above]
    target = schema.get(member.to.strip("[!]"))
    said = [schema[kind].rule, member.rule, target and target.rule, *(each.rule for each in above)]
    said += [each.members[name].rule for each in above if name in each.members]
    return any(said) and all(rule & groups for rule in said if rule is not None)


def used(schema: Schema, groups: frozenset[str], to: str, value: Any) -> bool:
    if isinstance(value, list):
        return all(used(schema, groups, to.strip("[!]"), each) for each in value)
    if not isinstance(value, dict):
        return True
    members = schema[to.strip("[!]")].members
    return all(
        opened(schema, groups, to.strip("[!]"), name) and used(schema, groups, members[name].to, each)
        for name, each in value.items()
    )
