"""Read from the schema what may be asked of a table: its fields, and what each may be compared and ordered by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

INTROSPECTION = """{ __schema { queryType { fields { name args { name type { ...of } } type { ...of } } }
types { name fields { name type { ...of } args { name type { ...of } } } inputFields { name type { ...of } }
enumValues { name } } } }
fragment of on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }"""


@dataclass(frozen=True, slots=True)
class Field:
    """A column as the schema has it."""

    name: str
    type: str
    """The name of its scalar or enum."""
    operators: frozenset[str]
    is_ordered: bool
    group_units: frozenset[str]
    functions: frozenset[str]
    """The aggregate functions that take it."""
    enum_values: Sequence[str]
    sql: str = ""
    """The type of its column, where that orders the values otherwise than their texts do."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a table is called in the schema, and what may be asked of its columns."""

    one: str
    many: str
    fields: Mapping[str, Field]


def read_shapes(schema: Any, tables: Sequence[str]) -> Mapping[str, Shape]:
    """Read the shape of each table from the answer to `INTROSPECTION`."""
    types = {type["name"]: type for type in schema["types"]}
    root = {field["name"]: field for field in schema["queryType"]["fields"]}
    return {table: _read_shape(types, root, table) for table in tables}


def _read_shape(types: Mapping[str, Any], root: Mapping[str, Any], one: str) -> Shape:
    many = f"{one}s"
    args = {arg["name"]: _name(arg["type"]) for arg in root[many]["args"]}
    connection = {field["name"]: field for field in types[_name(root[many]["type"])]["fields"]}
    where, order = _inputs(types, args["where"]), _inputs(types, args["orderBy"])
    groups = {arg["name"]: _name(arg["type"]) for arg in connection["groups"]["args"]}
    units = _inputs(types, groups["by"])
    functions = {
        field["name"]: {inner["name"] for inner in types[_name(field["type"])]["fields"] or ()}
        for field in types[_name(connection["aggregate"]["type"])]["fields"]
    }
    fields = {field["name"]: _name(field["type"]) for field in types[_name(root[one]["type"])]["fields"]}
    return Shape(
        one,
        many,
        {
            name: Field(
                name=name,
                type=type,
                operators=frozenset(_inputs(types, where[name]) if name in where else ()),
                is_ordered=name in order,
                group_units=frozenset(_values(types, units[name]) if name in units else ()),
                functions=frozenset(function for function, names in functions.items() if name in names),
                enum_values=_values(types, type),
            )
            for name, type in fields.items()
        },
    )


def _name(type: Any) -> str:
    while type.get("ofType"):
        type = type["ofType"]
    return str(type["name"])


def _inputs(types: Mapping[str, Any], name: str) -> Mapping[str, str]:
    return {field["name"]: _name(field["type"]) for field in types[name]["inputFields"]}


def _values(types: Mapping[str, Any], name: str) -> Sequence[str]:
    return [value["name"] for value in types[name]["enumValues"] or ()] if name in types else []
