"""Ask a provider of OpenID Connect who signs in: authorization code with PKCE, state and nonce, every claim checked."""

import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import orjson
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from auth.directory.settings import OidcSettings
from onedoor.errors import ConfigurationError, OnedoorError

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures with a key pair: with a shared secret, or without any, whoever knows the public key could sign."""

LEEWAY_SECONDS = 60
"""How far the provider's clock may be off."""

TIMEOUT_SECONDS = 10.0

BYTES_MAX = 1024 * 1024

METADATA_SECONDS = 600.0
"""How long the provider's addresses and keys are remembered."""

KEYS_SECONDS = 60.0
"""How often keys are fetched again for one that is not among them."""


class SignInRefused(OnedoorError):
    """Somebody could not be signed in; the message says what would do, and nothing of what the provider said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInAttempt:
    """What one browser's attempt is told apart by, while its person is at the provider."""

    state: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)


@dataclass(frozen=True, slots=True)
class ProviderKeys:
    """The keys that a provider signs with, and when they were fetched."""

    keys: KeySet
    fetched_at: float


class OidcClient:
    """Speaks with one provider. Raises SignInRefused."""

    def __init__(self, settings: OidcSettings, redirect_uri: str) -> None:
        """Check the settings. Raises ConfigurationError."""
        self.settings, self.redirect_uri = settings, redirect_uri
        issuer = urlsplit(settings.issuer)
        if not _is_trustworthy(settings.issuer) or issuer.query or issuer.fragment:
            raise ConfigurationError("`directory.oidc.issuer` is no address that begins with `https://`")
        self._metadata: Mapping[str, Any] | None = None
        self._metadata_until = 0.0
        self._keys: ProviderKeys | None = None

    async def build_authorization_url(self, attempt: SignInAttempt) -> str:
        """Return where to send a browser."""
        metadata = await self._load_metadata()
        parameters = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": " ".join(self.settings.scopes),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": create_s256_code_challenge(attempt.verifier),
            "code_challenge_method": "S256",
        }
        address = metadata["authorization_endpoint"]
        return f"{address}{'&' if urlsplit(address).query else '?'}{urlencode(parameters)}"

    async def finish(self, attempt: SignInAttempt, parameters: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the claims about whoever comes back from the provider with these parameters."""
        if not hmac.compare_digest(parameters.get("state", "").encode(), attempt.state.encode()):
            raise SignInRefused("this is not the sign-in that began here: sign in again")
        if parameters.get("iss", self.settings.issuer) != self.settings.issuer:
            raise SignInRefused("another provider answered than was asked: sign in again")
        if "error" in parameters or not parameters.get("code"):
            raise SignInRefused("the provider did not sign you in: try again, or ask whoever runs it")
        metadata = await self._load_metadata()
        tokens = await self._exchange(metadata, parameters["code"], attempt.verifier)
        token = tokens.get("id_token")
        if not isinstance(token, str):
            raise SignInRefused("the provider did not say who you are: ask whoever runs it")
        return await self._check_token(metadata, token, attempt.nonce, tokens.get("access_token"))

    async def _exchange(self, metadata: Mapping[str, Any], code: str, verifier: str) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "client_id": self.settings.client_id,
            "client_secret": self.settings.client_secret,
            "code_verifier": verifier,
        }
        return await self._fetch("POST", metadata["token_endpoint"], form)

    async def _check_token(
        self, metadata: Mapping[str, Any], token: str, nonce: str, access_token: Any
    ) -> Mapping[str, Any]:
        """Return the claims of a token that this provider signed for us, in answer to this nonce."""
        try:
            decoded = await self._decode(metadata, token)
            options = {
                "iss": {"essential": True, "value": self.settings.issuer},
                "aud": {"essential": True, "value": self.settings.client_id},
                "nonce": {"essential": True, "value": nonce},
            }
            parameters = {"nonce": nonce, "client_id": self.settings.client_id, "access_token": access_token}
            claims = CodeIDToken(decoded.claims, decoded.header, options, parameters)
            claims.validate(now=int(time.time()), leeway=LEEWAY_SECONDS)
        except (JoseError, ValueError, TypeError) as reason:
            raise SignInRefused("the provider's word cannot be trusted: ask whoever runs it") from reason
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            raise SignInRefused("the provider did not say who you are: ask whoever runs it")
        return dict(claims)

    async def _decode(self, metadata: Mapping[str, Any], token: str) -> jwt.Token:
        """Decode a token with the keys that are known, or else with those that there are by now."""
        try:
            return jwt.decode(token, await self._load_keys(metadata), algorithms=ALGORITHMS)
        except (InvalidKeyIdError, ValueError):
            return jwt.decode(token, await self._load_keys(metadata, again=True), algorithms=ALGORITHMS)

    async def _load_metadata(self) -> Mapping[str, Any]:
        """Load what the provider says of itself (OpenID Connect Discovery 1.0)."""
        if self._metadata is None or time.monotonic() >= self._metadata_until:
            address = f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
            metadata = await self._fetch("GET", address)
            addresses = [metadata.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
            if metadata.get("issuer") != self.settings.issuer or not all(map(_is_trustworthy, addresses)):
                raise SignInRefused("the provider is not the one of `directory.oidc.issuer`: ask whoever runs Onedoor")
            self._metadata, self._metadata_until = metadata, time.monotonic() + METADATA_SECONDS
        return self._metadata

    async def _load_keys(self, metadata: Mapping[str, Any], *, again: bool = False) -> KeySet:
        age = None if self._keys is None else time.monotonic() - self._keys.fetched_at
        if self._keys is None or age is None or age >= (KEYS_SECONDS if again else METADATA_SECONDS):
            document = await self._fetch("GET", metadata["jwks_uri"])
            try:
                keys = KeySet.import_key_set({"keys": list(document["keys"])})
            except (JoseError, ValueError, KeyError, TypeError) as reason:
                raise SignInRefused("the provider's keys cannot be read: ask whoever runs it") from reason
            self._keys = ProviderKeys(keys, time.monotonic())
        return self._keys.keys

    async def _fetch(self, method: str, address: str, form: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """Fetch a JSON object, within limits of time and size; redirects are not followed."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(method, address, data=form, allow_redirects=False) as reply,
            ):
                document = orjson.loads(await _read_body(reply)) if reply.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, ValueError) as reason:
            raise SignInRefused("the provider does not answer: try again") from reason
        if not isinstance(document, dict):
            raise SignInRefused("the provider refused the sign-in: try again")
        return document


async def _read_body(reply: aiohttp.ClientResponse) -> bytes:
    """Read a body. Raises ValueError for one that is too large."""
    body = bytearray()
    async for chunk in reply.content.iter_any():
        body += chunk
        if len(body) > BYTES_MAX:
            raise ValueError("the body is too large")
    return bytes(body)


def _is_trustworthy(address: Any) -> bool:
    """Whether an address is encrypted, or on this machine."""
    if not isinstance(address, str):
        return False
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost"))
