"""What MySQL or its driver raised in, what a client may be told out."""

from collections.abc import Mapping

from asyncmy import errors

from engine.errors import Code, SourceFailed

TROUBLED = frozenset({1040, 1053, 1129, 1130, 1152, 1153, 1158, 1159, 1160, 1161, 1184, 1317, 1927, 4031})
"""The server's own errors that tell of a connection lost or refused; those of the client begin at 2000."""
CLIENT = range(2000, 3000)
DENIALS: Mapping[object, str] = {
    **dict.fromkeys((1044, 1045, 1698), "the database refused the login"),
    1049: "there is no database of this name",
}
"""Errors of a login, which is tried first at the start."""
ASKED_WRONG = (errors.ProgrammingError, errors.DataError, errors.NotSupportedError)


def gone(error: Exception) -> bool:
    """Whether the connection is lost, or was never there."""
    if not isinstance(error, errors.MySQLError):
        return True
    number = error.args[0] if error.args else 0
    return isinstance(error, errors.InterfaceError) or number in TROUBLED or number in CLIENT


def failure(error: Exception) -> SourceFailed:
    """Of the database where it does not answer or lacks means; of the question where it cannot be asked so."""
    if gone(error):
        return SourceFailed("the database does not answer", again=True)
    if isinstance(error, ASKED_WRONG):
        return SourceFailed("the database cannot answer this question", Code.CANNOT_ANSWER)
    return SourceFailed("the database could not answer")
