"""An SDL document in, the first thing wrong with its permissions out: a schema that is not shut does not build."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches

from graphql import DocumentNode, InputObjectTypeDefinitionNode, InterfaceTypeDefinitionNode, NonNullTypeNode

from schema.read import BadSchema
from schema.rules import Guarded, Member, demand, inherited, named, own


def check(document: DocumentNode, groups: Iterable[str]) -> None:
    """Raises BadSchema for the first rule broken."""
    types = {node.name.value: node for node in document.definitions if isinstance(node, Guarded)}
    known = sorted(groups)
    for rule in (_said_once, _opened, _described, _no_weaker_than_its_interface, _nullable_where_withheld):
        for complaint in rule(types):
            raise BadSchema(complaint)
    for complaint in _registered(types, known):
        raise BadSchema(complaint)


Check = Callable[[Mapping[str, Guarded]], Iterator[str]]


def _members(types: Mapping[str, Guarded]) -> Iterator[tuple[str, Guarded, Member]]:
    for node in types.values():
        for member in node.fields or ():
            yield f"{node.name.value}.{member.name.value}", node, member


def _said_once(types: Mapping[str, Guarded]) -> Iterator[str]:
    """The same directive twice prints an SDL that nobody can parse."""
    nodes = [(name, node) for name, node in types.items()] + [(name, member) for name, _, member in _members(types)]
    for name, node in nodes:
        twice = [each for each, times in Counter(d.name.value for d in node.directives or ()).items() if times > 1]
        if twice:
            yield f"`{name}` has `@{twice[0]}` twice, join the two into one"


def _opened(types: Mapping[str, Guarded]) -> Iterator[str]:
    for name, node, member in _members(types):
        if not demand(types, node, member) or not all(demand(types, node, member)):
            yield f"`{name}` is open to nobody, give it or its type `@allow(groups: [...])`"


def _described(types: Mapping[str, Guarded]) -> Iterator[str]:
    for name, _, member in _members(types):
        if member.description is None:
            yield f"`{name}` has no description, say what the name does not"


def _registered(types: Mapping[str, Guarded], known: list[str]) -> Iterator[str]:
    used = [(name, demand(types, node, member)) for name, node, member in _members(types)]
    for name, group in ((name, group) for name, sets in used for each in sets for group in each):
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
