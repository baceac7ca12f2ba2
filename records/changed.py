"""Rows of history in, what audit records say of them out: no value in clear."""

from records.intents import Left
from records.record import Changed
from records.redact import digest


def changed(left: Left, key: bytes) -> Changed:
    """`key` is what hashes of values are made with."""
    return Changed(
        id=left.id,
        type=left.type,
        row=digest("text", left.row, key),
        verb=left.verb,
        state=str(left.state),
        before=None if left.before is None else digest("row", left.before, key),
        after=None if left.after is None else digest("row", left.after, key),
    )
