"""Define the annotations, arguments and directives that a company declares its types with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NewType, TypeVar

import strawberry
from strawberry.schema_directive import Location
from strawberry.types.base import StrawberryType

T = TypeVar("T")

BigInt = NewType("BigInt", int)
"""An integer past 32 bits; a string in replies, since JavaScript loses digits past 2^53."""

Json = NewType("Json", object)
"""Any JSON value, which its source returns as text; it cannot be filtered or ordered by."""


class FieldAnnotation(StrawberryType):
    """The annotation of a field: `kind` is its name, `target` the name of a type or, for a value, a Python type."""

    def __init__(self, kind: str, target: Any) -> None:
        self.kind = kind
        self.target = target

    @property
    def is_graphql_generic(self) -> bool:
        return False

    def copy_with(self, type_var_map: Mapping[str, Any]) -> "FieldAnnotation":
        return self


class AnnotationFactory:
    """Make annotations such as `Many["Order"]`: to Strawberry they are types, and `reader` reads them."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __getitem__(self, target: Any) -> FieldAnnotation:
        return FieldAnnotation(self.kind, target)


if TYPE_CHECKING:

    class Many(Generic[T]):
        """A connection to rows of `T`; it takes where, orderBy, first, after, last and before."""

    class One(Generic[T]):
        """The one row of `T` that this row names, or null."""

    class ById(Generic[T]):
        """The row of `T` with the id that is given; a root field."""

    class Computed(Generic[T]):
        """A `T` computed from other fields, for all rows at once; it cannot be filtered or ordered by."""

    class Looked(Generic[T]):
        """A `T` looked up in another collection, or null; it cannot be filtered or ordered by.

        Its arguments stand in the field's metadata: `metadata=with_arguments(window=Argument(...))`.
        """

    class Changed(Generic[T]):
        """The change that a mutation or an event made to a row of `T`: who, when, why, before and after.

        A mutation takes one input object: `metadata=with_input(CreateCustomerInput)`.
        """

    class History(Generic[T]):
        """A connection to all changes of this row of `T`."""

else:
    Many, One, ById, Computed, Looked, Changed, History = map(
        AnnotationFactory, ("Many", "One", "ById", "Computed", "Looked", "Changed", "History")
    )

REQUIRED = object()
"""Stands in place of a default: the argument must be given."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a mutation, an event or a field that is looked up.

    `type` is a Python type, an enum, an input class, or a list of one.
    """

    type: Any
    description: str
    default: Any = REQUIRED
    """None: the argument is optional, and has no effect if it is not given."""


ARGUMENTS_METADATA = "takes"


def with_arguments(**arguments: Argument) -> Mapping[object, Any]:
    """Return the metadata of a field that takes these arguments, named as in Python."""
    return {ARGUMENTS_METADATA: arguments}


def with_input(input_type: type) -> Mapping[object, Any]:
    """Return the metadata of a mutation that takes one input object."""
    return with_arguments(input=Argument(input_type, "The input of the mutation."))


ALLOW_LOCATIONS = [
    Location.OBJECT,
    Location.INTERFACE,
    Location.FIELD_DEFINITION,
    Location.ARGUMENT_DEFINITION,
    Location.INPUT_OBJECT,
    Location.INPUT_FIELD_DEFINITION,
]


@strawberry.schema_directive(
    locations=ALLOW_LOCATIONS, description="Opens this to anyone in one of these functional groups."
)
class Allow:
    groups: list[str]


@strawberry.schema_directive(
    locations=[Location.OBJECT, Location.INTERFACE, Location.FIELD_DEFINITION, Location.INPUT_OBJECT],
    description="The team that answers for this.",
)
class Owned:
    by: str


def allow(*groups: str) -> Allow:
    """Open a type, field, argument or input to anyone in one of these groups."""
    return Allow(groups=list(groups))


def owned(by: str) -> Owned:
    """Name the team that answers for a type or a field."""
    return Owned(by=by)
