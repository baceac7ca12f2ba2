"""What the connector raised goes in, what a client may be told comes out."""

from snowflake.connector import Error, OperationalError, ProgrammingError
from snowflake.connector.errors import ForbiddenError

from engine.errors import Code, SourceFailed
from sources.snowflake.adapter import Unreached, Unreadable, Unwell

UNAUTHORIZED = 290401
LACKING = {
    606: "snowflake has no warehouse to run the statement: name one that the user's role may use",
    390189: "snowflake has no such role, or none that the user may take",
    390201: "snowflake has no such database or warehouse, or none that the user's role may use",
    390422: "snowflake lets nobody in from this address",
    90105: "snowflake has no such database, or none that the user's role may use",
}
"""By error, what the login named, or did not name, and the session lacks."""
INVALID_AUTHORIZATION = "28000"
"""The SQLSTATE of a login with a wrong user, password or role."""


def failed(error: Exception, timeout: float) -> SourceFailed:
    """`timeout` in seconds. The connector's own texts name hosts and SQL, so none of them is passed on."""
    match error:
        case TimeoutError():
            return SourceFailed(f"snowflake did not answer within {timeout:g} s")
        case Unreached():
            return SourceFailed("snowflake could not be reached", again=True)
        case Unwell(errno=429):
            return SourceFailed("snowflake takes no more statements for now, ask again later", Code.SOURCE_OVERLOADED)
        case Unwell(errno=status):
            return SourceFailed(f"snowflake failed with HTTP status {status}")
        case Unreadable():
            return SourceFailed("snowflake gave an answer that cannot be read", Code.SOURCE_INVALID)
        case ForbiddenError():
            return SourceFailed("snowflake refused the login")
        case Error(sqlstate=sqlstate) if sqlstate == INVALID_AUTHORIZATION:
            return SourceFailed("snowflake refused the login")
        case Error(errno=number) if number == UNAUTHORIZED:
            return SourceFailed("snowflake refused the login")
        case OperationalError():
            return SourceFailed("snowflake could not be reached")
        case Error(errno=number) if number in LACKING:
            return SourceFailed(LACKING[number])
        case ProgrammingError(errno=number):
            return SourceFailed(f"snowflake refused the statement with error {number}")
        case Error(errno=number):
            return SourceFailed(f"snowflake failed with error {number}")
    return SourceFailed("snowflake gave an answer that cannot be read", Code.SOURCE_INVALID)
