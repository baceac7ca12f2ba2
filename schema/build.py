"""The modules of schema/ in, the schema and its rules out."""

import hashlib
from collections.abc import Iterable
from types import ModuleType

from graphql import (
    DirectiveDefinitionNode,
    DocumentNode,
    GraphQLSchema,
    NameNode,
    StringValueNode,
    build_ast_schema,
    print_ast,
)

from auth.groups import GROUPS
from auth.rules import Rules
from schema.check import check
from schema.directives import Allow, Owned
from schema.generate.changes import changes
from schema.generate.generate import definitions
from schema.nodes import STORED, argument
from schema.ordered import in_order, meaning
from schema.read import shapes
from schema.rules import rules
from schema.scalars import taught


def build(modules: Iterable[ModuleType]) -> tuple[GraphQLSchema, Rules]:
    """The schema that validates and introspects, and the rules that every decision reads.

    Raises BadSchema when a field is open to nobody, names a group nobody registered, or could not be withheld.
    """
    return built(document(modules))


def built(sdl: DocumentNode) -> tuple[GraphQLSchema, Rules]:
    check(sdl, (group.name for group in GROUPS))
    return taught(build_ast_schema(sdl, assume_valid_sdl=True)), rules(sdl)


def document(modules: Iterable[ModuleType]) -> DocumentNode:
    """The whole schema as one SDL document, permissions included."""
    found = changes(shapes(modules))
    held = (_stored(),) if any(each.stored for each in found.enums) else ()
    return DocumentNode(definitions=(*_directives(), *held, *definitions(found)))


def sdl(modules: Iterable[ModuleType]) -> str:
    """The text of schema/schema.graphql: sorted, so that where something is declared moves nothing in it."""
    return print_ast(in_order(document(modules))) + "\n"


def version(modules: Iterable[ModuleType]) -> str:
    """Of what schema and policy mean, so that a description said otherwise, or another owner, ends no cursor."""
    return hashlib.sha256(print_ast(meaning(in_order(document(modules)))).encode()).hexdigest()[:16]


def _directives() -> tuple[DirectiveDefinitionNode, ...]:
    return (_directive(Allow, "allow", "groups", "[String!]!"), _directive(Owned, "owned", "by", "String!"))


def _stored() -> DirectiveDefinitionNode:
    return DirectiveDefinitionNode(
        name=NameNode(value=STORED),
        description=StringValueNode(value="The text its source holds for this value.", block=True),
        arguments=(argument("as", "String!", ""),),
        repeatable=False,
        locations=(NameNode(value="ENUM_VALUE"),),
    )


def _directive(declared: type, name: str, takes: str, of: str) -> DirectiveDefinitionNode:
    directive = declared.__strawberry_directive__  # type: ignore[attr-defined]
    return DirectiveDefinitionNode(
        name=NameNode(value=name),
        description=StringValueNode(value=directive.description, block=True),
        arguments=(argument(takes, of, ""),),
        repeatable=False,
        locations=tuple(NameNode(value=each.name) for each in directive.locations),
    )
