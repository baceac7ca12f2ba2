"""Decide who may log in to the demo's Snowflake: by password, by a token that a key signed, or by an OAuth token."""

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from demo.servers.signing import TokenUnverified, verify_jwt

ACCOUNT = "ACME"

USER = "DEMO"

DATABASE = "ACME"

SCHEMA = "ANALYTICS"

JWT_MAX_SECONDS = 3600

SKEW = 60

ALTER_USER = re.compile(
    r"ALTER\s+USER\s+(?P<user>\w+)\s+"
    r"(?:SET\s+(?P<slot>RSA_PUBLIC_KEY(?:_2)?)\s*=\s*'(?P<key>[^']+)'|UNSET\s+(?P<unset>RSA_PUBLIC_KEY(?:_2)?))\s*;?\s*",
    re.IGNORECASE,
)
"""How Snowflake registers the public key of a user, and forgets it; two slots, so that a key can be rotated."""

PEM_LINES = re.compile(r"-----[^-]+-----|\s+")


class LoginRefused(Exception):
    """A refusal, by Snowflake's number and words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


INCORRECT_PASSWORD = ("390100", "Incorrect username or password was specified.")

INVALID_JWT = ("390144", "JWT token is invalid.")

INVALID_OAUTH_TOKEN = ("390303", "Invalid OAuth access token.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SnowflakeUser:
    """A user in capitals, and what proves that a client may act for them; public keys by slot."""

    name: str
    password: str = field(repr=False)
    oauth_tokens: frozenset[str] = field(default=frozenset(), repr=False)
    public_keys: dict[str, RSAPublicKey] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnowflakeAccount:
    """The users of one account by name; `clock` gives the seconds since 1970."""

    name: str
    users: Mapping[str, SnowflakeUser]
    clock: Callable[[], float]

    def check_login(self, data: Mapping[str, Any]) -> None:
        """Check the `data` of a login request. Raises LoginRefused."""
        user = self.users.get(str(data.get("LOGIN_NAME")).upper())
        if user is None or str(data.get("ACCOUNT_NAME")).upper() != self.name:
            raise LoginRefused(*INCORRECT_PASSWORD)
        token = str(data.get("TOKEN"))
        match str(data.get("AUTHENTICATOR", "SNOWFLAKE")).upper():
            case "SNOWFLAKE" if is_same_text(str(data.get("PASSWORD")), user.password):
                return
            case "SNOWFLAKE_JWT":
                self._check_jwt(token, user)
            case "OAUTH" if any(is_same_text(token, known) for known in user.oauth_tokens):
                return
            case "OAUTH":
                raise LoginRefused(*INVALID_OAUTH_TOKEN)
            case _:
                raise LoginRefused(*INCORRECT_PASSWORD)

    def alter_user(self, statement: str) -> bool:
        """Register or forget a public key by an ALTER USER; return whether the statement is one."""
        match = ALTER_USER.fullmatch(statement)
        user = match and self.users.get(match["user"].upper())
        if not match or not user:
            return False
        if match["unset"]:
            user.public_keys.pop(match["unset"].upper(), None)
        else:
            user.public_keys[match["slot"].upper()] = load_public_key(match["key"])
        return True

    def _check_jwt(self, token: str, user: SnowflakeUser) -> None:
        """Check that one of the user's keys signed the token, for this user, and that it has not expired."""
        subject = f"{self.name}.{user.name}"
        for public in user.public_keys.values():
            try:
                claims = verify_jwt(token, public)
            except TokenUnverified:
                continue
            names = (claims.get("sub"), claims.get("iss"))
            if names == (subject, f"{subject}.{compute_fingerprint(public)}") and self._is_timely(claims):
                return
        raise LoginRefused(*INVALID_JWT)

    def _is_timely(self, claims: Mapping[str, Any]) -> bool:
        begins, ends, now = claims.get("iat"), claims.get("exp"), self.clock()
        if not isinstance(begins, int) or not isinstance(ends, int):
            return False
        return begins - SKEW <= now < ends <= begins + JWT_MAX_SECONDS


def build_account(environment: Mapping[str, str], clock: Callable[[], float]) -> SnowflakeAccount:
    """Build the account with its one user. Raises KeyError where SNOWFLAKE_PASSWORD is not set."""
    user = SnowflakeUser(
        name=USER,
        password=environment["SNOWFLAKE_PASSWORD"],
        oauth_tokens=frozenset(environment.get("SNOWFLAKE_TOKEN", "").split()),
    )
    return SnowflakeAccount(name=ACCOUNT, users={USER: user}, clock=clock)


def is_same_text(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def load_public_key(text: str) -> RSAPublicKey:
    """Load a key as PEM, or as what stands between its first and last line."""
    key = load_der_public_key(b64decode(PEM_LINES.sub("", text)))
    assert isinstance(key, RSAPublicKey)
    return key


def compute_fingerprint(public: RSAPublicKey) -> str:
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"SHA256:{b64encode(sha256(der).digest()).decode()}"
