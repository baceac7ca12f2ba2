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

from auth.policy import EVERYONE
from onedoor.model.catalog import Catalog
from onedoor.query.selection import ANY_SCALAR, ENTITIES_FIELD, ENTITY_UNION, ID_FIELD, SERVICE_FIELD
from onedoor.schema.builder import derive_policy, unwrap_type_name
from onedoor.schema.reader import AccessDirectives
from onedoor.schema.sdl import build_argument, build_field, build_object, build_scalar, copy_node, install_scalars
from onedoor.schema.visibility import filter_document

LINK_SDL = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.0", import: ["@key", "@shareable"])'

ROUTER_DIRECTIVES = frozenset({"deprecated", "specifiedBy"})
"""The directives that every router knows; it knows no `@oneOf`, which is judged here all the same."""

KEY_DIRECTIVES = (
    ConstDirectiveNode(
        name=NameNode(value="key"),
        arguments=(ConstArgumentNode(name=NameNode(value="fields"), value=StringValueNode(value=ID_FIELD)),),
    ),
)

SHAREABLE_DIRECTIVES = (ConstDirectiveNode(name=NameNode(value="shareable"), arguments=()),)

SHAREABLE_TYPES = frozenset({"PageInfo"})
"""Types that mean the same wherever they are."""

OPEN_ACCESS = AccessDirectives(allow=((EVERYONE,),), owned=())

NO_ACCESS_DIRECTIVES = AccessDirectives(allow=(), owned=())

QUERY_ROOT = "Query"

SERVICE_TYPE = "_Service"


def build_subgraph(catalog: Catalog, document: DocumentNode) -> Catalog:
    """Answers `_service` and `_entities`; `sdl` is what its schema was built of."""
    whole = add_federation_fields(document)
    added = derive_policy(whole).requirements
    told = replace(catalog.policy, requirements={**added, **catalog.policy.requirements})
    own = catalog.schema_for_groups is not None
    return replace(
        catalog,
        schema=_build_executable_schema(whole),
        policy=told,
        schema_for_groups=(
            lambda groups: _build_executable_schema(add_federation_fields(filter_document(document, told, groups)))
        )
        if own
        else None,
        sdl_for_groups=(lambda groups: print_subgraph_sdl(filter_document(document, told, groups)))
        if own
        else _print_once(document),
    )


def _build_executable_schema(document: DocumentNode) -> GraphQLSchema:
    return install_scalars(build_ast_schema(document, assume_valid_sdl=True))


def _print_once(document: DocumentNode) -> Callable[[frozenset[str]], str]:
    """The same for everyone, so written once."""
    whole = cache(partial(print_subgraph_sdl, document))
    return lambda groups: whole()


def add_federation_fields(document: DocumentNode) -> DocumentNode:
    """With the root fields that a router asks, and the types they take and give."""
    names = tuple(iter_entity_names(document))
    definitions = (_extend_root(each, names) if _is_root(each) else each for each in document.definitions)
    return DocumentNode(definitions=(*definitions, *_iter_federation_types(names)))


def print_subgraph_sdl(document: DocumentNode) -> str:
    """What `_service` tells: the schema without our own directives, and with those of the federation."""
    names = frozenset(iter_entity_names(document))
    plain: DocumentNode = visit(document, _DirectiveRemover())
    return "\n\n".join((LINK_SDL, *(print_ast(_mark_type(each, names)) for each in plain.definitions))) + "\n"


def iter_entity_names(document: DocumentNode) -> Iterator[str]:
    """The types a row of which can be asked for by its id alone, in the order of the root's fields."""
    objects = (each for each in document.definitions if isinstance(each, ObjectTypeDefinitionNode))
    types: dict[str, Any] = {each.name.value: each for each in objects}
    by_id = [
        each for each in types[QUERY_ROOT].fields if [one.name.value for one in each.arguments or ()] == [ID_FIELD]
    ]
    for name in dict.fromkeys(unwrap_type_name(each.type) for each in by_id):
        if name in types and any(each.name.value == ID_FIELD for each in types[name].fields):
            yield name


def _is_root(node: DefinitionNode) -> bool:
    return isinstance(node, ObjectTypeDefinitionNode) and node.name.value == QUERY_ROOT


def _extend_root(root: Any, names: tuple[str, ...]) -> DefinitionNode:
    taken = build_argument("representations", f"[{ANY_SCALAR}!]!", "Which ones: objects of a `__typename` and an `id`.")
    told = build_field(SERVICE_FIELD, f"{SERVICE_TYPE}!", "What a router composes.", access=OPEN_ACCESS)
    asked = build_field(
        ENTITIES_FIELD, f"[{ENTITY_UNION}]!", "Rows by what names them.", arguments=[taken], access=OPEN_ACCESS
    )
    whole: DefinitionNode = copy_node(root, fields=(*root.fields, told, *((asked,) if names else ())))
    return whole


def _iter_federation_types(names: tuple[str, ...]) -> Iterator[DefinitionNode]:
    sdl = build_field("sdl", "String!", "The schema as SDL.", access=OPEN_ACCESS)
    yield build_object(SERVICE_TYPE, "What a router is told of the door.", [sdl], NO_ACCESS_DIRECTIVES)
    if names:
        yield build_scalar(ANY_SCALAR, "An object of a `__typename` and an `id`.")
        members = tuple(NamedTypeNode(name=NameNode(value=each)) for each in names)
        yield UnionTypeDefinitionNode(name=NameNode(value=ENTITY_UNION), types=members, directives=())


class _DirectiveRemover(Visitor):
    """Takes away what a router does not know."""

    def enter_directive_definition(self, node: DirectiveDefinitionNode, *_: Any) -> Any:
        return REMOVE

    def enter_directive(self, node: DirectiveNode, *_: Any) -> Any:
        return None if node.name.value in ROUTER_DIRECTIVES else REMOVE


def _mark_type(node: DefinitionNode, names: frozenset[str]) -> DefinitionNode:
    if not isinstance(node, ObjectTypeDefinitionNode):
        return node
    marks = (
        KEY_DIRECTIVES
        if node.name.value in names
        else SHAREABLE_DIRECTIVES
        if node.name.value in SHAREABLE_TYPES
        else ()
    )
    marked: DefinitionNode = copy_node(node, directives=(*(node.directives or ()), *marks))
    return marked
