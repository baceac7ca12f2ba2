"""An assertion signed by a service account in, a token out; and whose a token is, and what for.

Checked as Google does: the signature, whom it is for, its time, the scopes, and for whom it speaks.
"""

import hashlib
import json
import secrets
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from demo.drive.document import document
from demo.drive.failures import Failure

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
GOOGLE = "https://oauth2.googleapis.com/token"
LIVES = 3600
SKEW = 300


class Denied(Exception):
    """As OAuth says it: `error` is its name of what is wrong."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """Whose a token is, what for, and when it ends."""

    email: str
    scopes: frozenset[str]
    ends: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """`public` is the key of the one service account; `people` are those for whom it may speak."""

    email: str
    public: RSAPublicKey
    people: frozenset[str]
    seconds: int
    clock: Callable[[], float]
    given: dict[str, Granted] = field(default_factory=dict)


def authority(key: str, people: frozenset[str], seconds: int, clock: Callable[[], float]) -> Authority:
    """`key`: the JSON that Google would give out; only its public half is kept."""
    said = json.loads(key)
    private: Any = load_pem_private_key(said["private_key"].encode(), None)
    return Authority(
        email=said["client_email"], public=private.public_key(), people=people, seconds=seconds, clock=clock
    )


def issued(at: Authority, form: Mapping[str, str], url: str) -> dict[str, Any]:
    """Raises Denied. `url`: where it was asked."""
    if form.get("grant_type") != GRANT:
        raise Denied(400, "unsupported_grant_type", "Invalid grant_type")
    claims = verified(at, form.get("assertion", ""))
    timely(at, claims)
    if claims.get("iss") != at.email or claims.get("aud") not in (url, GOOGLE):
        raise Denied(400, "invalid_grant", "Invalid JWT: iss and aud must name the account and this address")
    email, scopes = claims.get("sub", at.email), frozenset(str(claims.get("scope", "")).split())
    if email != at.email and email not in at.people:
        raise Denied(400, "invalid_grant", "Invalid email or User ID")
    if not scopes or not scopes <= document()["auth"]["oauth2"]["scopes"].keys():
        raise Denied(401, "unauthorized_client", "Client is not authorized for any of the scopes requested")
    token = secrets.token_urlsafe(32)
    at.given[digest(token)] = Granted(email=email, scopes=scopes, ends=at.clock() + at.seconds)
    return {"access_token": token, "expires_in": at.seconds, "token_type": "Bearer"}


def verified(at: Authority, assertion: str) -> Mapping[str, Any]:
    """The claims of an assertion that our account signed."""
    try:
        head, body, signature = assertion.split(".")
        if json.loads(opened(head)).get("alg") != "RS256":
            raise ValueError
        at.public.verify(opened(signature), f"{head}.{body}".encode(), PKCS1v15(), SHA256())
        claims: Mapping[str, Any] = json.loads(opened(body))
    except (ValueError, AttributeError, InvalidSignature):
        raise Denied(400, "invalid_grant", "Invalid JWT Signature.") from None
    return claims


def timely(at: Authority, claims: Mapping[str, Any]) -> None:
    begins, ends, now = claims.get("iat"), claims.get("exp"), at.clock()
    if type(begins) is not int or type(ends) is not int:
        raise Denied(400, "invalid_grant", "Invalid JWT: iat and exp must be seconds")
    if not begins - SKEW <= now < ends + SKEW or not 0 < ends - begins <= LIVES:
        raise Denied(400, "invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes)")


def granted(at: Authority, header: str) -> Granted:
    """What the token of an Authorization header opens. Raises Failure."""
    kind, _, token = header.partition(" ")
    found = at.given.get(digest(token)) if kind.lower() == "bearer" else None
    if found is None or at.clock() >= found.ends:
        raise Failure(401, "authError", "Invalid Credentials", "Authorization")
    return found


def permitted(to: Granted, scopes: frozenset[str]) -> None:
    if not to.scopes & scopes:
        raise Failure(403, "insufficientPermissions", "Request had insufficient authentication scopes.")


def digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def opened(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
