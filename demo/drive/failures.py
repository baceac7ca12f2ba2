"""What is refused in, the status and the JSON that Google would say out."""

from typing import Any


class Failure(Exception):
    """`reason` is Google's name of the error; `location` the parameter it is about."""

    def __init__(self, status: int, reason: str, message: str, location: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.location = location


def said(failure: Failure) -> dict[str, Any]:
    where = {"location": failure.location, "locationType": "parameter"} if failure.location else {}
    one = {"message": str(failure), "domain": "global", "reason": failure.reason, **where}
    return {"error": {"code": failure.status, "message": str(failure), "errors": [one]}}


def not_found(id: str) -> Failure:
    return Failure(404, "notFound", f"File not found: {id}.", "fileId")


def invalid(name: str, value: object) -> Failure:
    return Failure(400, "invalidParameter", f"Invalid value '{value}' for {name}", name)


def forbidden() -> Failure:
    return Failure(403, "insufficientFilePermissions", "The user does not have sufficient permissions for this file.")
