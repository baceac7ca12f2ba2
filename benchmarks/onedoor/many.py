"""Generate further types with rows, columns and relationships, as many as a large company has."""

from types import ModuleType

import strawberry

from onedoor.model.mapping import Relationship, TypeMapping
from onedoor.schema.annotations import AnnotationFactory, allow, owned

MANY, ONE = AnnotationFactory("Many"), AnnotationFactory("One")


def named(number: int) -> str:
    return f"Thing{number}"


def module(count: int) -> ModuleType:
    """As a file of schema/: every type leads to the next, and is a list of its own under Query."""
    module = ModuleType(__name__, "Types that nobody asks for.")
    for number in range(count):
        setattr(module, named(number), _type(number, count))
    roots = {f"things_{number}": _field(MANY[named(number)], "All of them.") for number in range(count)}
    module.Query = strawberry.type(_class("Query", roots))  # type: ignore[attr-defined]
    return module


def bindings(count: int) -> tuple[TypeMapping, ...]:
    """All of them are products."""
    return tuple(
        TypeMapping(
            type=named(number),
            source="database",
            collection="product",
            relationships={"next": Relationship(to=named((number + 1) % count), local="id", remote="id")},
        )
        for number in range(count)
    )


def _type(number: int, count: int) -> type:
    fields = {
        "id": _field(strawberry.ID, "Its number."),
        "name": _field(str, "Its name."),
        "next": _field(ONE[named((number + 1) % count)], "The next one."),
    }
    rules = [allow("sales", "support"), owned("shop")]
    return strawberry.type(_class(named(number), fields), description="One more thing.", directives=rules)


def _field(annotation: object, description: str) -> tuple[object, object]:
    return annotation, strawberry.field(description=description)


def _class(name: str, fields: dict[str, tuple[object, object]]) -> type:
    annotations = {field: annotation for field, (annotation, _) in fields.items()}
    defaults = {field: value for field, (_, value) in fields.items()}
    return type(name, (), {"__module__": __name__, "__annotations__": annotations, **defaults})
