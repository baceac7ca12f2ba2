"""A provider of OpenID Connect that says whatever a test lets it say, in a thread, on a port of loopback."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import serialization
from fastapi import FastAPI, Request
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.servers.serving import HOST, serve_in_thread

CLIENT_ID = "onedoor"
Change = Callable[[dict[str, Any]], dict[str, Any]]


def keep(claims: dict[str, Any]) -> dict[str, Any]:
    return claims


@dataclass(slots=True)
class HostileProvider:
    """What it says: `claims` are those of the token, `sign` makes the token of them, `forms` are what it was sent."""

    issuer: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}))
    other_key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "two"}))
    change: Change = keep
    sign: Callable[["HostileProvider", dict[str, Any]], str] | None = None
    claims: dict[str, Any] = field(default_factory=dict)
    forms: list[Mapping[str, str]] = field(default_factory=list)

    def reset(self) -> None:
        self.change, self.sign, self.claims = keep, None, {}
        self.forms.clear()

    def build_token(self, nonce: str) -> str:
        now = int(time.time())
        claims = self.change(
            {
                "iss": self.issuer, "aud": CLIENT_ID, "sub": "ada-1", "iat": now, "exp": now + 300, "nonce": nonce,
                "email": "ada@acme.example", "email_verified": True, "given_name": "Ada", "family_name": "Lovelace",
                **self.claims,
            }
        )  # fmt: skip
        return sign_rs256(self, claims) if self.sign is None else self.sign(self, claims)


def sign_rs256(provider: HostileProvider, claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "RS256", "kid": "one"}, claims, provider.key)


def sign_with_unknown_key(provider: HostileProvider, claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "RS256", "kid": "two"}, claims, provider.other_key)


def sign_with_other_key_under_known_id(provider: HostileProvider, claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "RS256", "kid": "one"}, claims, provider.other_key)


def sign_with_nothing(provider: HostileProvider, claims: dict[str, Any]) -> str:
    return f"{encode({'alg': 'none', 'kid': 'one'})}.{encode(claims)}."


def sign_with_the_public_key(provider: HostileProvider, claims: dict[str, Any]) -> str:
    """HS256, whose secret is what everybody may read."""
    pem = provider.key.public_key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    body = f"{encode({'alg': 'HS256', 'kid': 'one'})}.{encode(claims)}"
    signature = hmac.new(pem, body.encode(), hashlib.sha256).digest()
    return f"{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def encode(document: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


@contextmanager
def run_hostile_provider() -> Iterator[HostileProvider]:
    provider, app = HostileProvider(), FastAPI()

    @app.get("/.well-known/openid-configuration")
    async def describe() -> Mapping[str, Any]:
        return {
            "issuer": provider.issuer,
            "authorization_endpoint": f"{provider.issuer}/authorize",
            "token_endpoint": f"{provider.issuer}/token",
            "jwks_uri": f"{provider.issuer}/keys",
        }

    @app.get("/keys")
    async def list_keys() -> Mapping[str, Any]:
        return {"keys": [provider.key.as_dict(private=False)]}

    @app.post("/token")
    async def exchange(request: Request) -> Mapping[str, Any]:
        form = dict(item.split("=", 1) for item in (await request.body()).decode().split("&"))
        provider.forms.append(form)
        return {"access_token": "access", "token_type": "Bearer", "id_token": provider.build_token(form["code"])}

    with serve_in_thread(app) as port:
        provider.issuer = f"http://{HOST}:{port}"
        yield provider
