"""A house and its SDL document in, the same house as a subgraph of Apollo Federation 2 out.

A router is told types, keys and what other subgraphs may have too. It is not told `@allow`, `@owned` and `@stored`:
they are obeyed here, and a router that knew them would still have to be told how (docs/federation.md).
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Any

from graphql import (
    REMOVE,
    ConstArgumentNode,
    ConstDirectiveNode,
    DefinitionNode,
    DirectiveDefinitionNode,
    DirectiveNode,
    DocumentNode,
    GraphQLSchema,
    NamedTypeNode,
    NameNode,
    ObjectTypeDefinitionNode,
    StringValueNode,
    UnionTypeDefinitionNode,
    Visitor,
    build_ast_schema,
    print_ast,
    visit,
)

from auth.groups import EVERYONE
from engine.entities import ANY, ENTITIES, ID, SERVICE, UNION
from engine.house import House
from schema.nodes import altered, argument, field, output, scalar
from schema.read import Guards
from schema.rules import named, rules
from schema.scalars import taught
from schema.view import seen

LINK = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.0", import: ["@key", "@shareable"])'
KEPT = frozenset({"deprecated", "specifiedBy"})
"""The directives that every router knows; it knows no `@oneOf`, which is judged here all the same."""
KEY = (
    ConstDirectiveNode(
        name=NameNode(value="key"),
        arguments=(ConstArgumentNode(name=NameNode(value="fields"), value=StringValueNode(value=ID)),),
    ),
)
SHARED = (ConstDirectiveNode(name=NameNode(value="shareable"), arguments=()),)
SHAREABLE = frozenset({"PageInfo"})
"""Types that mean the same wherever they are."""
OPEN = Guards(allow=((EVERYONE,),), owned=())
NOTHING = Guards(allow=(), owned=())
ROOT = "Query"
TOLD = "_Service"


def subgraph(house: House, sdl: DocumentNode) -> House:
    """Answers `_service` and `_entities`; `sdl` is what its schema was built of."""
    whole = federated(sdl)
    added = rules(whole).requirements
    told = replace(house.rules, requirements={**added, **house.rules.requirements})
    own = house.view is not None
    return replace(
        house,
        schema=_made(whole),
        rules=told,
        view=(lambda groups: _made(federated(seen(sdl, told, groups)))) if own else None,
        service=(lambda groups: text(seen(sdl, told, groups))) if own else _once(sdl),
    )


def _made(sdl: DocumentNode) -> GraphQLSchema:
    return taught(build_ast_schema(sdl, assume_valid_sdl=True))


def _once(sdl: DocumentNode) -> Callable[[frozenset[str]], str]:
    """The same for everyone, so written once."""
    whole = cache(partial(text, sdl))
    return lambda groups: whole()


def federated(sdl: DocumentNode) -> DocumentNode:
    """With the root fields that a router asks, and the types they take and give."""
    names = tuple(entities(sdl))
    definitions = (_asked(each, names) if _is_root(each) else each for each in sdl.definitions)
    return DocumentNode(definitions=(*definitions, *_types(names)))


def text(sdl: DocumentNode) -> str:
    """What `_service` tells: the schema without our own directives, and with those of the federation."""
    names = frozenset(entities(sdl))
    plain: DocumentNode = visit(sdl, _Plain())
    return "\n\n".join((LINK, *(print_ast(_marked(each, names)) for each in plain.definitions))) + "\n"


def entities(sdl: DocumentNode) -> Iterator[str]:
    """The types a row of which can be asked for by its id alone, in the order of the root's fields."""
    objects = (each for each in sdl.definitions if isinstance(each, ObjectTypeDefinitionNode))
    types: dict[str, Any] = {each.name.value: each for each in objects}
    by_id = [each for each in types[ROOT].fields if [one.name.value for one in each.arguments or ()] == [ID]]
    for name in dict.fromkeys(named(each.type) for each in by_id):
        if name in types and any(each.name.value == ID for each in types[name].fields):
            yield name


def _is_root(node: DefinitionNode) -> bool:
    return isinstance(node, ObjectTypeDefinitionNode) and node.name.value == ROOT


def _asked(root: Any, names: tuple[str, ...]) -> DefinitionNode:
    taken = argument("representations", f"[{ANY}!]!", "Which ones: objects of a `__typename` and an `id`.")
    told = field(SERVICE, f"{TOLD}!", "What a router composes.", guards=OPEN)
    asked = field(ENTITIES, f"[{UNION}]!", "Rows by what names them.", arguments=[taken], guards=OPEN)
    whole: DefinitionNode = altered(root, fields=(*root.fields, told, *((asked,) if names else ())))
    return whole


def _types(names: tuple[str, ...]) -> Iterator[DefinitionNode]:
    sdl = field("sdl", "String!", "The schema as SDL.", guards=OPEN)
    yield output(TOLD, "What a router is told of the door.", [sdl], NOTHING)
    if names:
        yield scalar(ANY, "An object of a `__typename` and an `id`.")
        members = tuple(NamedTypeNode(name=NameNode(value=each)) for each in names)
        yield UnionTypeDefinitionNode(name=NameNode(value=UNION), types=members, directives=())


class _Plain(Visitor):
    """Takes away what a router does not know."""

    def enter_directive_definition(self, node: DirectiveDefinitionNode, *_: Any) -> Any:
        return REMOVE

    def enter_directive(self, node: DirectiveNode, *_: Any) -> Any:
        return None if node.name.value in KEPT else REMOVE


def _marked(node: DefinitionNode, names: frozenset[str]) -> DefinitionNode:
    if not isinstance(node, ObjectTypeDefinitionNode):
        return node
    marks = KEY if node.name.value in names else SHARED if node.name.value in SHAREABLE else ()
    marked: DefinitionNode = altered(node, directives=(*(node.directives or ()), *marks))
    return marked
