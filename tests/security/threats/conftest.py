"""Run the server of tests/http over real HTTP."""

from tests.http.conftest import keys, open_server, server, state

__all__ = ["keys", "open_server", "server", "state"]
