"""The whole door over real HTTP, as in tests/door."""

from tests.http.conftest import door, keys, opening, state

__all__ = ["door", "keys", "opening", "state"]
