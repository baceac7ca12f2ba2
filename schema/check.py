"""An SDL document in, the first thing wrong with its permissions out: a schema that is not shut does not build."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import chain

from graphql import DocumentNode, InputObjectTypeDefinitionNode, InterfaceTypeDefinitionNode, NonNullTypeNode

from schema.read import BadSchema
from schema.rules import Demand, Guarded, Member, demand, inherited, named, own


def check(document: DocumentNode, groups: Iterable[str]) -> None:
    """Raises BadSchema for the first rule broken."""
    types = {node.name.value: node for node in document.definitions if isinstance(node, Guarded)}
    asked = {name: demand(types, node, member) for name, node, member in _members(types)}
    complaints = (
        _said_once(types),
        _opened(asked),
        _described(types),
        _no_weaker_than_its_interface(types),
        _nullable_where_withheld(types),
        _registered(asked, sorted(groups)),
    )
    for complaint in chain(*complaints):
        raise BadSchema(complaint)


def _members(types: Mapping[str, Guarded]) -> Iterator[tuple[str, Guarded, Member]]:
    for node in types.values():
        for member in node.fields or ():
            yield f"{node.name.value}.{member.name.value}", node, member


def _said_once(types: Mapping[str, Guarded]) -> Iterator[str]:
    """The same directive twice prints an SDL that nobody can parse."""
    nodes = [(name, node) for name, node in types.items()] + [(name, member) for name, _, member in _members(types)]
    for name, node in (each for each in nodes if len(each[1].directives or ()) > 1):
        twice = [each for each, times in Counter(d.name.value for d in node.directives or ()).items() if times > 1]
        if twice:
            yield f"`{name}` has `@{twice[0]}` twice, join the two into one"


def _opened(asked: Mapping[str, Demand]) -> Iterator[str]:
    for name, demanded in asked.items():
        if not demanded or not all(demanded):
            yield f"`{name}` is open to nobody, give it or its type `@allow(groups: [...])`"


def _described(types: Mapping[str, Guarded]) -> Iterator[str]:
    for name, _, member in _members(types):
        if member.description is None:
            yield f"`{name}` has no description, say what the name does not"


def _registered(asked: Mapping[str, Demand], known: list[str]) -> Iterator[str]:
    for name, group in ((name, group) for name, sets in asked.items() for each in sets for group in each):
        if group not in known:
            near = get_close_matches(group, known, 1)
            hint = f"did you mean `{near[0]}`" if near else f"the register in auth/groups.py has {', '.join(known)}"
            yield f"`{name}` allows `{group}`, which is not a registered group: {hint}"


def _no_weaker_than_its_interface(types: Mapping[str, Guarded]) -> Iterator[str]:
    for name, node, member in _members(types):
        strict = (*own(node), *own(member))
        for wanted in (each for part in inherited(types, node, member.name.value) for each in part):
            if not any(each <= wanted for each in strict):
                yield f"`{name}` is open to more groups than its interface allows, narrow it to {sorted(wanted)}"


def _nullable_where_withheld(types: Mapping[str, Guarded]) -> Iterator[str]:
    """A field that a group may be denied must be nullable, or the denial would take its parent along."""
    for name, node, member in _members(types):
        if isinstance(node, InputObjectTypeDefinitionNode | InterfaceTypeDefinitionNode):
            continue
        if not isinstance(member.type, NonNullTypeNode) or node.name.value == "PageInfo":
            continue
        narrower = [each for each in own(member) if not any(outer <= each for outer in own(node))]
        target = types.get(named(member.type))
        if target is not None and named(member.type) != "PageInfo":
            narrower += [each for each in own(target) if not any(outer <= each for outer in own(node))]
        if narrower:
            yield f"`{name}` is never null but not all who see its type may see it, make it nullable"
