"""An id that an input gives in, the key it spells out: for the callables of sagas. Pure."""

from engine.change.declared import Input
from engine.change.words import Values
from engine.errors import Code, SourceFailed
from engine.names import NoSuchId, parts
from engine.words import Kind


def named(given: Input, field: str, **kinds: Kind) -> Values:
    """By column, as `kinds` names the parts of the id; raises SourceFailed, which names the field."""
    try:
        return dict(zip(kinds, parts(tuple(kinds.values()), given[field]), strict=True))
    except NoSuchId:
        raise SourceFailed(f"`{field}` is not the id of anything", Code.BAD_USER_INPUT) from None
