"""The name of a made type in, the written type it is made for out: what a name alone tells."""

from collections.abc import Container
from dataclasses import dataclass

MEASURED = ("CountDistinct", "Sum", "Average", "Minimum", "Maximum")

OF_FIELDS = (
    "Where",
    "Order",
    "GroupKey",
    "GroupBy",
    "Values",
    *(f"{each}{use}" for each in MEASURED for use in ("", "Having", "Order")),
)
"""What follows a type's name where each position looks at the type's field of the same name."""
OF_ROWS = ("Connection", "Edge", "ListWhere", "Aggregate", "AggregateOrder", "Group", "GroupOrder", "Having")
"""And where the positions are of its rows as a whole."""

LONGEST_FIRST = sorted((*OF_FIELDS, *OF_ROWS), key=len, reverse=True)
"""`OrderSumOrder` is the order by sums of `Order`, not that of a type `OrderSum`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    of: str
    by_field: bool
    """Whether each position looks at the field of the same name."""


def derived(name: str, known: Container[str]) -> Derived | None:
    """What the type is made for; None where it is made for none of those known."""
    for suffix in LONGEST_FIRST:
        if name.endswith(suffix) and name.removesuffix(suffix) in known:
            return Derived(of=name.removesuffix(suffix), by_field=suffix in OF_FIELDS)
    return None
