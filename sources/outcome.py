"""What came of a change in, the text its marker keeps out, and back."""

from typing import Any

import orjson

from engine.change.words import Made, Values
from engine.errors import Code, SourceFailed
from engine.packed import packed, unpacked


def kept(made: Made) -> str:
    return orjson.dumps({"before": _packed(made.before), "after": _packed(made.after)}).decode()


def found(text: str) -> Made:
    """Raises SourceFailed where another than `kept` wrote the text."""
    try:
        said = orjson.loads(text)
        return Made(before=_unpacked(said["before"]), after=_unpacked(said["after"]))
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
        raise SourceFailed("what came of the change cannot be read", Code.SOURCE_INVALID) from None


def _packed(values: Values | None) -> Any:
    return None if values is None else {name: packed(value) for name, value in values.items()}


def _unpacked(values: Any) -> Values | None:
    return None if values is None else {name: unpacked(value) for name, value in values.items()}
