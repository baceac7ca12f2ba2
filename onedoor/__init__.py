"""Serve one GraphQL schema over a company's tables and systems, with permission per field and a record per request."""

from importlib.util import find_spec
from pathlib import Path


def _require_own_auth() -> None:
    """Raise ImportError where another package takes the place of `auth`, which is half of Onedoor."""
    spec = find_spec("auth")
    if spec is None or spec.origin is None or Path(spec.origin).parent.parent != Path(__file__).parent.parent:
        raise ImportError("`auth` is a package of Onedoor: rename yours")


_require_own_auth()
