"""Describe errors of validation and coercion so that they say what would do, naming only what one schema has."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeAlias

from graphql import (
    GraphQLError,
    GraphQLSchema,
    Node,
    ObjectValueNode,
    get_named_type,
    is_abstract_type,
    is_enum_type,
    print_ast,
)

DESCRIBED_ERRORS_MAX = 5
"""Comparing a name with those of 1500 types takes up to 9 ms, so later errors keep the text of graphql-core."""

SHOWN_CHARACTERS = 60

COMPARED_CHARACTERS = 60
"""A longer name is near no other."""

LISTED_NAMES = 6

NEAR_NAMES = 3

PEER_NAMES: Mapping[str, Sequence[str]] = {
    "after": ("after",),
    "ascending": ("ASC",),
    "average": ("avg",),
    "between": ("gte", "lt"),
    "condition": ("where",),
    "count": ("totalCount", "aggregate"),
    "cursor": ("after",),
    "data": ("nodes",),
    "descending": ("DESC",),
    "equal": ("eq",),
    "equals": ("eq",),
    "filter": ("where",),
    "ge": ("gte",),
    "greaterthan": ("gt",),
    "greaterthanorequal": ("gte",),
    "groupby": ("groups", "by"),
    "ilike": ("iContains", "iStartsWith"),
    "is": ("eq",),
    "items": ("nodes",),
    "le": ("lte",),
    "lessthan": ("lt",),
    "lessthanorequal": ("lte",),
    "like": ("contains", "startsWith", "iContains"),
    "limit": ("first",),
    "matches": ("contains", "iContains"),
    "neq": ("ne",),
    "nin": ("notIn",),
    "not": ("ne", "notIn"),
    "notequals": ("ne",),
    "offset": ("after",),
    "order": ("orderBy",),
    "page": ("after",),
    "pagesize": ("first",),
    "records": ("nodes",),
    "regex": ("contains", "iContains"),
    "results": ("nodes",),
    "rows": ("nodes",),
    "search": ("contains", "iContains", "where"),
    "skip": ("after",),
    "sort": ("orderBy",),
    "sortby": ("orderBy",),
    "sum": ("aggregate",),
    "take": ("first",),
    "top": ("first",),
    "total": ("totalCount",),
}
"""What other APIs call a thing, in lower case and without underscores, and what it is called here."""

LIST_QUANTIFIERS = frozenset({"some", "every", "none"})

AGGREGATES = frozenset({"aggregate", "avg", "count", "countdistinct", "having", "max", "min", "sum"})

Describe: TypeAlias = Callable[[GraphQLSchema, re.Match[str], Node | None], str | None]
"""Describes an error by the match of its message and its place; None: the message cannot be bettered."""


def describe_errors(schema: GraphQLSchema, errors: Sequence[GraphQLError]) -> list[str]:
    """Return the messages of errors. Every name they add is one of `schema`, which must be the view of the caller."""
    return [
        describe_error(schema, error) if number < DESCRIBED_ERRORS_MAX else error.message
        for number, error in enumerate(errors)
    ]


def describe_error(schema: GraphQLSchema, error: GraphQLError) -> str:
    """Return the message of one error, its text by graphql-core where nothing better is known."""
    place, message = _split_variable_path(error.message)
    node = error.nodes[0] if error.nodes else None
    for pattern, describe in DESCRIPTIONS:
        match = pattern.match(message)
        described = match and describe(schema, match, node)
        if described:
            return f"`{place}`: {described}" if place else described
    return error.message


VARIABLE_PATTERN = re.compile(r"Variable '(?P<name>\$\w+)' has invalid value(?: at (?P<path>[^:]*))?: ")


def _split_variable_path(message: str) -> tuple[str, str]:
    """Split the path of a value within the variables from the message about it; empty for a literal."""
    match = VARIABLE_PATTERN.match(message)
    if match is None:
        return "", message
    return f"{match['name']}{match['path'] or ''}"[:SHOWN_CHARACTERS], message[match.end() :]


def _describe_unknown_field(schema: GraphQLSchema, match: re.Match[str], _: Node | None) -> str | None:
    type_name, name = match["type"], match["name"]
    output: Any = schema.type_map[type_name]
    missing = f"`{type_name}` has no field `{_shorten(name)}`"
    if is_abstract_type(output):
        types = [type.name for type in schema.get_possible_types(output) if name in type.fields]
        if types:
            return f"{missing}; use an inline fragment: `... on {types[0]} {{ {name} }}`"
    fields = getattr(output, "fields", {})
    rows: Any = get_named_type(fields["nodes"].type) if "nodes" in fields else None
    if name in getattr(rows, "fields", {}):
        return f"{missing}; the rows are under `nodes`: `nodes {{ {name} }}`"
    return f"{missing}; {_suggest(name, fields)}" if fields else None


def _describe_unknown_argument(schema: GraphQLSchema, match: re.Match[str], _: Node | None) -> str:
    parent: Any = schema.type_map[match["type"]]
    missing = f"`{match['type']}.{match['field']}` takes no argument `{_shorten(match['name'])}`"
    arguments = parent.fields[match["field"]].args if match["field"] in getattr(parent, "fields", {}) else {}
    return f"{missing}; {_suggest(match['name'], arguments)}" if arguments else missing


def _describe_unknown_input_field(schema: GraphQLSchema, match: re.Match[str], _: Node | None) -> str:
    input_type: Any = schema.type_map[match["type"]]
    name, fields = match["name"], input_type.fields
    missing = f"`{match['type']}` has no `{_shorten(name)}`"
    if not LIST_QUANTIFIERS.issuperset(fields):
        return f"{missing}; {_suggest(name, fields)}"
    quantifiers = f"{missing}; a list takes {_list_names(fields, last='or')}"
    if _normalize(name) in AGGREGATES:
        return f"{quantifiers}, and rows are counted by `groups(by: ..., having: ...)` of their own list"
    related: Any = get_named_type(next(iter(fields.values())).type)
    return f"{quantifiers}, as in `{{some: {{{name}: ...}}}}`" if name in related.fields else quantifiers


def _describe_non_object(schema: GraphQLSchema, match: re.Match[str], node: Node | None) -> str:
    input_type: Any = schema.type_map[match["type"]]
    fields, value = input_type.fields, _requote(match["value"])
    field = _find_input_name(node)
    subject = f"`{field}`" if field else f"`{match['type']}`"
    operator = "in" if value.startswith("[") else "eq"
    if operator not in fields:
        return f"{subject} takes an object with fields of `{match['type']}`, not `{value}`"
    if is_enum_type(get_named_type(fields[operator].type)) and node is not None:
        value = value.replace('"', "")
    return f"{subject} takes a test, such as `{{{operator}: {value}}}`"


def _describe_one_of(_: GraphQLSchema, match: re.Match[str], node: Node | None) -> str:
    message = f"`{match['type']}` takes one field an object, which is not null"
    fields = node.fields if isinstance(node, ObjectValueNode) else ()
    if len(fields) <= 1:
        return message
    objects = ", ".join(f"{{{print_ast(field)}}}" for field in fields)
    return f"{message}: `[{_shorten(objects)}]`"


def _describe_quoted_enum_value(schema: GraphQLSchema, match: re.Match[str], _: Node | None) -> str | None:
    enum: Any = schema.type_map[match["type"]]
    name = match["value"].strip('"')
    if name in enum.values:
        return f"write values of `{match['type']}` without quotes: `{name}`"
    return f"`{match['type']}` has no value `{_shorten(name)}`; {_suggest(name, enum.values)}"


def _describe_unknown_enum_value(schema: GraphQLSchema, match: re.Match[str], _: Node | None) -> str:
    enum: Any = schema.type_map[match["type"]]
    return f"`{match['type']}` has no value `{_shorten(match['name'])}`; {_suggest(match['name'], enum.values)}"


def _describe_unknown_type(schema: GraphQLSchema, match: re.Match[str], _: Node | None) -> str:
    near = _find_near_names(match["name"], (name for name in schema.type_map if not name.startswith("__")))
    remedy = f"; did you mean {_list_names(near, last='or')}" if near else ""
    return f"there is no type `{_shorten(match['name'])}`{remedy}"


DESCRIPTIONS: Sequence[tuple[re.Pattern[str], Describe]] = tuple(
    (re.compile(pattern, re.DOTALL), describe)
    for pattern, describe in (
        (r"Cannot query field '(?P<name>\w+)' on type '(?P<type>\w+)'\.$", _describe_unknown_field),
        (
            r"Unknown argument '(?P<name>\w+)' on field '(?P<type>\w+)\.(?P<field>\w+)'\.$",
            _describe_unknown_argument,
        ),
        (
            r"Expected value of type '(?P<type>\w+)' not to include unknown field '(?P<name>[^']*)', found",
            _describe_unknown_input_field,
        ),
        (
            r"Expected value of type '(?P<type>\w+)' to be an object, found: (?P<value>.*)\.$",
            _describe_non_object,
        ),
        (r"Within OneOf Input Object type '(?P<type>\w+)', exactly one", _describe_one_of),
        (
            r"Enum '(?P<type>\w+)' cannot represent non-enum value: (?P<value>\"\w+\")\.$",
            _describe_quoted_enum_value,
        ),
        (r"Value '(?P<name>[^']*)' does not exist in '(?P<type>\w+)' enum\.$", _describe_unknown_enum_value),
        (r"Unknown type '(?P<name>\w+)'\.$", _describe_unknown_type),
    )
)


def _suggest(name: str, options: Iterable[str]) -> str:
    """Say which of the names may have been meant, or else what names there are."""
    names = [option for option in options if not option.startswith("__")]
    peers = [option for option in PEER_NAMES.get(_normalize(name), ()) if option in names]
    if peers:
        return f"use {_list_names(peers, last='or')}" + (" to ignore case" if peers[-1] == "iContains" else "")
    near = _find_near_names(name, names)
    if near:
        return f"did you mean {_list_names(near, last='or')}"
    if len(names) <= LISTED_NAMES:
        return f"it has {_list_names(names, last='and')}"
    return (
        "it has "
        + ", ".join(f"`{option}`" for option in names[:LISTED_NAMES])
        + f" and {len(names) - LISTED_NAMES} more"
    )


def _find_near_names(name: str, options: Iterable[str]) -> Sequence[str]:
    """Return the options that are spelled much as the name is, whatever the case, nearest first."""
    if len(name) > COMPARED_CHARACTERS:
        return ()
    spellings = {_normalize(option): option for option in options}
    return [spellings[near] for near in get_close_matches(_normalize(name), spellings, NEAR_NAMES, 0.7)]


def _normalize(name: str) -> str:
    return name.replace("_", "").lower()


def _list_names(names: Iterable[str], *, last: str) -> str:
    quoted = [f"`{name}`" for name in names]
    return f" {last} ".join(part for part in (", ".join(quoted[:-1]), quoted[-1]) if part)


def _shorten(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def _requote(value: str) -> str:
    """Return a value as GraphQL writes it; graphql-core prints those of variables as Python does."""
    if len(value) > SHOWN_CHARACTERS:
        return "..."
    return f'"{value[1:-1]}"' if value.startswith("'") else value


def _find_input_name(node: Node | None) -> str | None:
    """Return the name of the argument or input field that a literal is the value of."""
    colon = node.loc.start_token.prev if node is not None and node.loc else None
    if colon is None or colon.kind.value != ":" or colon.prev is None:
        return None
    return colon.prev.value
