"""List how servers refuse expired credentials and calls signed by a wrong clock, and the message of each connector."""

from collections.abc import Mapping
from dataclasses import dataclass

from onedoor.connectors.http_client import CLOCK_SKEW_MESSAGE
from tests.connectors.faults.wire import reply

LONG_AGO = "Tue, 01 Jan 2019 00:00:00 GMT"
"""The time at the server, where the clocks differ."""
GOOGLE = b'{"error": "invalid_grant", "error_description": "Invalid JWT: SECRET"}'
UNAUTHORIZED = reply(401, b'{"error": {"code": 401, "errors": [{"reason": "authError", "message": "SECRET"}]}}')
AZURE = b'<?xml version="1.0"?><Error><Code>AuthenticationFailed</Code><Message>SECRET</Message></Error>'


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialRefusal:
    """The response to every call, the response to a call for a token, and the message that the client sees."""

    answer: bytes
    message: str
    token: bytes = b""

    @property
    def answers(self) -> Mapping[bytes, bytes]:
        return {b"POST /token": self.token, b"": self.answer} if self.token else {b"": self.answer}


def s3(status: int, code: str) -> bytes:
    body = f"<Error><Code>{code}</Code><Message>SECRET</Message><RequestId>1</RequestId></Error>"
    return reply(status, body.encode(), **{"content-type": "application/xml"})


def azure(**headers: str) -> bytes:
    named = {"content-type": "application/xml", "x-ms-error-code": "AuthenticationFailed"}
    return reply(403, AZURE, **{**named, **headers})


ENDED: Mapping[str, CredentialRefusal] = {
    "s3": CredentialRefusal(answer=s3(400, "ExpiredToken"), message="s3 refused the credentials"),
    "slack": CredentialRefusal(
        answer=reply(200, b'{"ok": false, "error": "token_expired"}'), message="slack refused the token"
    ),
    "rest": CredentialRefusal(answer=reply(401, b'{"message": "SECRET"}'), message="the API refused the credentials"),
    "drive": CredentialRefusal(
        answer=UNAUTHORIZED, token=reply(400, GOOGLE), message="google refused the service account with `invalid_grant`"
    ),
    "azure_files": CredentialRefusal(answer=azure(), message="azure files refused the credentials"),
    "azure_blob": CredentialRefusal(answer=azure(), message="azure blob storage refused the credentials"),
    "prometheus": CredentialRefusal(answer=reply(401, b"SECRET"), message="prometheus refused the credentials"),
    "datadog": CredentialRefusal(
        answer=reply(403, b'{"errors": ["SECRET"]}'), message="datadog refused the keys, or they may not read this"
    ),
    "github": CredentialRefusal(
        answer=reply(401, b'{"message": "Bad credentials", "status": "401"}'), message="the API refused the credentials"
    ),
    "directory": CredentialRefusal(
        answer=reply(401, b'{"errors": [{"message": "SECRET"}]}'), message="the API refused the credentials"
    ),
}
SKEWED: Mapping[str, CredentialRefusal] = {
    "s3": CredentialRefusal(
        answer=s3(403, "RequestTimeTooSkewed"), message=f"s3 refused the call: {CLOCK_SKEW_MESSAGE}"
    ),
    "drive": CredentialRefusal(
        answer=UNAUTHORIZED,
        token=reply(400, GOOGLE, date=LONG_AGO),
        message=f"google refused the service account: {CLOCK_SKEW_MESSAGE}",
    ),
    "azure_files": CredentialRefusal(
        answer=azure(date=LONG_AGO), message=f"azure files refused the call: {CLOCK_SKEW_MESSAGE}"
    ),
    "azure_blob": CredentialRefusal(
        answer=azure(date=LONG_AGO), message=f"azure blob storage refused the call: {CLOCK_SKEW_MESSAGE}"
    ),
}
"""The connectors whose calls are signed with a time."""
KNOWN_BY_PASSWORD = frozenset({"postgresql", "mysql", "snowflake"})
"""They log in when they connect; their own tests cover a refused login."""
