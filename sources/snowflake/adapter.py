"""The connector's requests in, whole answers out: each asked for once, with an end to its bytes and its seconds.

Left alone it asks again for as long as a timeout lets it, and reads answers of any size; it has settings for neither.
"""

import logging
import re
from typing import Any

from snowflake.connector import connection
from snowflake.connector.errors import DatabaseError
from snowflake.connector.session_manager import ProxySupportAdapter
from snowflake.connector.vendored.requests.exceptions import RequestException
from snowflake.connector.vendored.urllib3 import Retry
from snowflake.connector.vendored.urllib3.exceptions import HTTPError

from sources.bounded import MOST, TooLong, whole

SECONDS = 60.0
"""Of one answer, beside the timeout for each part of it; who waits for it gives up long before."""
CHUNK = 65_536
NEVER = Retry(0, read=False)
SPOKEN = re.compile("/(session|queries)/")
"""Paths whose answers are JSON objects; others are parts of results."""
OBJECT = re.compile(rb"\s*\{")
OK, FOUND, TOO_MANY, SERVER = 200, 300, 429, 500


class Unreached(DatabaseError):  # type: ignore[misc]
    """No answer came, or not a whole one."""


class Unwell(DatabaseError):  # type: ignore[misc]
    """The answer was a status by which the connector would ask again; `errno` is that status."""


class Unreadable(DatabaseError):  # type: ignore[misc]
    """The answer is too long, or not in the language of the service."""


class Once(ProxySupportAdapter):  # type: ignore[misc]
    """In place of the connector's own, whose errors of a kind that it knows would make it ask again."""

    def __init__(self, **words: Any) -> None:
        super().__init__(**{**words, "max_retries": NEVER})

    def send(self, request: Any, **words: Any) -> Any:
        try:
            answer = super().send(request, **{**words, "stream": True})
            answer._content = whole(answer.raw.stream(CHUNK, decode_content=True), most=MOST, seconds=SECONDS)
        except (RequestException, HTTPError, OSError) as error:
            raise Unreached("no answer") from error
        except TooLong as error:
            raise Unreadable("too long") from error
        answer._content_consumed = True
        answer.close()
        if answer.status_code == TOO_MANY or answer.status_code >= SERVER or FOUND <= answer.status_code < 400:
            raise Unwell("not well", errno=answer.status_code)
        if answer.status_code == OK and SPOKEN.match(request.path_url) and not OBJECT.match(answer._content):
            raise Unreadable("not JSON")
        return answer


def installed() -> None:
    """For all connections of this process from now on; without its log of failures, which has hosts and SQL in it."""
    logging.getLogger("snowflake.connector").setLevel(logging.CRITICAL)
    connection.ProxySupportAdapterFactory = lambda: Once
