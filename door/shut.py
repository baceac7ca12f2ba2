"""What is turned away as HTTP, before it is GraphQL."""

from collections.abc import Mapping

from engine.errors import Code, Fault


class Shut(Exception):
    """The request is turned away as HTTP, before it is GraphQL."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.fault = Fault(code=Code.BAD_REQUEST, message=message)
