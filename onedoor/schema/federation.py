"""Serve a catalog as a subgraph of Apollo Federation 2.

A router learns types, keys and what other subgraphs may share. It does not learn `@allow`, `@owned` and `@stored`: they
are enforced here, and a router could do nothing with them (docs/federation.md).
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
from onedoor.model.catalog import Catalog
from onedoor.query.selection import ANY_SCALAR, ENTITIES_FIELD, ENTITY_UNION, ID_FIELD, SERVICE_FIELD
from onedoor.schema.builder import derive_policy, unwrap_type_name
from onedoor.schema.reader import AccessDirectives
from onedoor.schema.scalars import install_scalars
from onedoor.schema.sdl import build_argument, build_field, build_object, build_scalar, copy_node
from onedoor.schema.visibility import filter_document

LINK_SDL = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.0", import: ["@key", "@shareable"])'

ROUTER_DIRECTIVES = frozenset({"deprecated", "specifiedBy"})
"""The directives that every router knows; it does not know `@oneOf`, which is enforced here all the same."""

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
    """Return the catalog with `_service` and `_entities`; `document` is what its schema was built from."""
    extended = add_federation_fields(document)
    added = derive_policy(extended).requirements
    policy = replace(catalog.policy, requirements={**added, **catalog.policy.requirements})
    subgraph = replace(catalog, schema=_build_executable_schema(extended), policy=policy)
    if catalog.schema_for_groups is None:
        return replace(subgraph, sdl_for_groups=_print_once(document))

    def build_schema_for(groups: frozenset[str]) -> GraphQLSchema:
        return _build_executable_schema(add_federation_fields(filter_document(document, policy, groups)))

    def print_sdl_for(groups: frozenset[str]) -> str:
        return print_subgraph_sdl(filter_document(document, policy, groups))

    return replace(subgraph, schema_for_groups=build_schema_for, sdl_for_groups=print_sdl_for)


def _build_executable_schema(document: DocumentNode) -> GraphQLSchema:
    return install_scalars(build_ast_schema(document, assume_valid_sdl=True))


def _print_once(document: DocumentNode) -> Callable[[frozenset[str]], str]:
    """Return a function that prints the SDL once, as it is the same for everyone."""
    print_all = cache(partial(print_subgraph_sdl, document))
    return lambda groups: print_all()


def add_federation_fields(document: DocumentNode) -> DocumentNode:
    """Add the root fields that a router queries, and the types of their arguments and results."""
    names = tuple(iter_entity_names(document))
    definitions = (
        _extend_root(definition, names) if _is_root(definition) else definition for definition in document.definitions
    )
    return DocumentNode(definitions=(*definitions, *_iter_federation_types(names)))


def print_subgraph_sdl(document: DocumentNode) -> str:
    """Print what `_service` returns: the schema without our own directives and with those of the federation."""
    names = frozenset(iter_entity_names(document))
    plain: DocumentNode = visit(document, _DirectiveRemover())
    return (
        "\n\n".join((LINK_SDL, *(print_ast(_mark_type(definition, names)) for definition in plain.definitions))) + "\n"
    )


def iter_entity_names(document: DocumentNode) -> Iterator[str]:
    """Yield the types with a root field that takes the id alone, in the order of the root's fields."""
    objects = (definition for definition in document.definitions if isinstance(definition, ObjectTypeDefinitionNode))
    types: dict[str, Any] = {node.name.value: node for node in objects}
    by_id = [
        field
        for field in types[QUERY_ROOT].fields
        if [argument.name.value for argument in field.arguments or ()] == [ID_FIELD]
    ]
    for name in dict.fromkeys(unwrap_type_name(field.type) for field in by_id):
        if name in types and any(field.name.value == ID_FIELD for field in types[name].fields):
            yield name


def _is_root(node: DefinitionNode) -> bool:
    return isinstance(node, ObjectTypeDefinitionNode) and node.name.value == QUERY_ROOT


def _extend_root(root: Any, names: tuple[str, ...]) -> DefinitionNode:
    representations = build_argument(
        "representations", f"[{ANY_SCALAR}!]!", "The rows to return: objects with a `__typename` and an `id`."
    )
    service = build_field(SERVICE_FIELD, f"{SERVICE_TYPE}!", "The schema that a router composes.", access=OPEN_ACCESS)
    entities = build_field(
        ENTITIES_FIELD,
        f"[{ENTITY_UNION}]!",
        "The rows that the representations name.",
        arguments=[representations],
        access=OPEN_ACCESS,
    )
    extended: DefinitionNode = copy_node(root, fields=(*root.fields, service, *((entities,) if names else ())))
    return extended


def _iter_federation_types(names: tuple[str, ...]) -> Iterator[DefinitionNode]:
    sdl = build_field("sdl", "String!", "The schema as SDL.", access=OPEN_ACCESS)
    yield build_object(SERVICE_TYPE, "What a router learns about this server.", [sdl], NO_ACCESS_DIRECTIVES)
    if names:
        yield build_scalar(ANY_SCALAR, "An object with a `__typename` and an `id`.")
        members = tuple(NamedTypeNode(name=NameNode(value=name)) for name in names)
        yield UnionTypeDefinitionNode(name=NameNode(value=ENTITY_UNION), types=members, directives=())


class _DirectiveRemover(Visitor):
    """Remove the directives that a router does not know."""

    def enter_directive_definition(self, node: DirectiveDefinitionNode, *_: Any) -> Any:
        return REMOVE

    def enter_directive(self, node: DirectiveNode, *_: Any) -> Any:
        return None if node.name.value in ROUTER_DIRECTIVES else REMOVE


def _mark_type(node: DefinitionNode, names: frozenset[str]) -> DefinitionNode:
    if not isinstance(node, ObjectTypeDefinitionNode):
        return node
    if node.name.value in names:
        return _add_directives(node, KEY_DIRECTIVES)
    if node.name.value in SHAREABLE_TYPES:
        return _add_directives(node, SHAREABLE_DIRECTIVES)
    return node


def _add_directives(node: ObjectTypeDefinitionNode, directives: tuple[ConstDirectiveNode, ...]) -> DefinitionNode:
    extended: DefinitionNode = copy_node(node, directives=(*(node.directives or ()), *directives))
    return extended
