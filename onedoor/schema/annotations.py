"""One/Many/ById, @allow, @owned."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NewType, TypeVar

import strawberry
from strawberry.schema_directive import Location
from strawberry.types.base import StrawberryType

T = TypeVar("T")

BigInt = NewType("BigInt", int)
"""An integer past 32 bits; a string in replies, as JavaScript loses digits past 2^53."""

Json = NewType("Json", object)
"""Any value of JSON, which its source gives as text; it cannot be filtered or ordered by."""


class FieldAnnotation(StrawberryType):
    """What a field leads to: `kind` is the annotation's name, `to` a type's name or, of a value, a Python type."""

    def __init__(self, kind: str, target: Any) -> None:
        self.kind = kind
        self.target = target

    @property
    def is_graphql_generic(self) -> bool:
        return False

    def copy_with(self, type_var_map: Mapping[str, Any]) -> "FieldAnnotation":
        return self


class AnnotationFactory:
    """`Many["Order"]` and its like: Strawberry sees a type of its own kind and leaves it to `schema.build`."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __getitem__(self, target: Any) -> FieldAnnotation:
        return FieldAnnotation(self.kind, target)


if TYPE_CHECKING:

    class Many(Generic[T]):
        """A connection to rows of `T`; takes where, orderBy, first, after, last and before."""

    class One(Generic[T]):
        """The one row of `T` that this row names, or null."""

    class ById(Generic[T]):
        """The row of `T` whose id is given; a root field."""

    class Computed(Generic[T]):
        """A `T` made of other fields, for all rows at once; it cannot be filtered or ordered by."""

    class Looked(Generic[T]):
        """A `T` looked up in another collection, or null; it cannot be filtered or ordered by.

        What it takes stands in its field's metadata: `metadata=taking(window=Argument(...))`.
        """

    class Changed(Generic[T]):
        """What a mutation, or an event, made of a row of `T`: who changed it, when and why, before and after.

        A mutation takes what is to be changed: `metadata=changing(CreateCustomerInput)`.
        """

    class History(Generic[T]):
        """All changes of this row of `T`, in a connection."""

else:
    Many, One, ById, Computed, Looked, Changed, History = map(
        AnnotationFactory, ("Many", "One", "ById", "Computed", "Looked", "Changed", "History")
    )

REQUIRED = object()
"""In place of a default: the argument must be given."""


@dataclass(frozen=True, slots=True)
class Argument:
    """What a mutation, an event or a field that is looked up takes.

    `of` is a Python type, an enum, an input class, or a list of one.
    """

    type: Any
    description: str
    default: Any = REQUIRED
    """None: it need not be given, and then it decides nothing."""


ARGUMENTS_METADATA = "takes"


def with_arguments(**arguments: Argument) -> Mapping[object, Any]:
    """The metadata of a field that takes these arguments, named as in Python."""
    return {ARGUMENTS_METADATA: arguments}


def with_input(input_type: type) -> Mapping[object, Any]:
    """The metadata of a mutation that takes one input object."""
    return with_arguments(input=Argument(input_type, "What is to be done."))


ALLOW_LOCATIONS = [
    Location.OBJECT,
    Location.INTERFACE,
    Location.FIELD_DEFINITION,
    Location.ARGUMENT_DEFINITION,
    Location.INPUT_OBJECT,
    Location.INPUT_FIELD_DEFINITION,
]


@strawberry.schema_directive(locations=ALLOW_LOCATIONS, description="Any one of these functional groups will do.")
class Allow:
    groups: list[str]


@strawberry.schema_directive(
    locations=[Location.OBJECT, Location.INTERFACE, Location.FIELD_DEFINITION, Location.INPUT_OBJECT],
    description="The team that answers for what is here.",
)
class Owned:
    by: str


def allow(*groups: str) -> Allow:
    return Allow(groups=list(groups))


def owned(by: str) -> Owned:
    return Owned(by=by)
