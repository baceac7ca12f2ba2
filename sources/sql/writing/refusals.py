"""What a database has against a change in, what its caller may hear out."""

from collections.abc import Callable, Mapping

from engine.change.words import Change, Unmade, Verb
from engine.errors import Code, SourceFailed
from sources.sql.writing.words import Objection, Reference, Sort

UNKNOWN = "whether the change was made is not known: the database left before it could say so"


def refused(objection: Objection, change: Change | None) -> Unmade:
    """`change`: the one it was about, where that is known."""
    table = f"`{change.collection}`" if change else "a table"
    if objection.sort is Sort.REFERENCE:
        return Unmade(_referred(objection.reference, change, table))
    sentence, code = SAID[objection.sort]
    return Unmade(sentence(objection.columns, table), code)


def _referred(reference: Reference | None, change: Change | None, table: str) -> str:
    """Of rows that refer to the changed one no more is told than that there are some."""
    inward = change is not None and (reference is None or reference.to == change.collection)
    if change is not None and inward and (reference is None or reference.table != change.collection or gone(change)):
        return f"other rows still refer to this row of {table}"
    return f"{named(reference.columns if reference else (), f'a reference of {table}')} names no row that there is"


def gone(change: Change) -> bool:
    return change.verb is Verb.DELETE


def failed(objection: Objection) -> SourceFailed:
    """Of a question that changes nothing of a caller's."""
    if objection.sort is Sort.BUSY:
        return SourceFailed(BUSY, Code.SOURCE_OVERLOADED)
    return SourceFailed("the database does not answer" if objection.sort is Sort.LOST else "the database failed")


def named(columns: tuple[str, ...], otherwise: str) -> str:
    return ", ".join(f"`{each}`" for each in columns) or otherwise


BUSY = "the database is busy with other changes, ask again"
Sentence = Callable[[tuple[str, ...], str], str]
SAID: Mapping[Sort, tuple[Sentence, Code]] = {
    Sort.UNIQUE: (
        lambda columns, table: f"there already is a row of {table} with this {named(columns, 'value')}",
        Code.ALREADY_EXISTS,
    ),
    Sort.EMPTY: (
        lambda columns, table: f"{named(columns, f'a column of {table}')} must have a value",
        Code.BAD_USER_INPUT,
    ),
    Sort.CHECK: (
        lambda columns, table: f"a check of {table} does not let {named(columns, 'the row')} be so",
        Code.BAD_USER_INPUT,
    ),
    Sort.UNFIT: (
        lambda columns, table: f"{named(columns, f'a column of {table}')} cannot hold the value given",
        Code.BAD_USER_INPUT,
    ),
    Sort.DENIED: (
        lambda _, table: f"the database does not let its user change {table}: grant it, or take it out of `writable`",
        Code.CANNOT_ANSWER,
    ),
    Sort.BUSY: (lambda *_: BUSY, Code.SOURCE_OVERLOADED),
    Sort.LOST: (lambda *_: "the database does not answer", Code.SOURCE_UNAVAILABLE),
    Sort.OTHER: (lambda _, table: f"the database does not make this change of {table}", Code.CANNOT_ANSWER),
}
