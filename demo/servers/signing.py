"""Verify JSON Web Tokens that are signed by RS256."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256


class TokenUnverified(Exception):
    """The text is no token of this key."""


def verify_jwt(token: str, public: RSAPublicKey) -> Mapping[str, Any]:
    """Return the claims of a token that this key signed; their times are not checked. Raises TokenUnverified."""
    try:
        head, body, signature = token.split(".")
        if json.loads(decode_part(head))["alg"] != "RS256":
            raise TokenUnverified
        public.verify(decode_part(signature), f"{head}.{body}".encode(), PKCS1v15(), SHA256())
        claims = json.loads(decode_part(body))
    except (ValueError, TypeError, KeyError, InvalidSignature):
        raise TokenUnverified from None
    if not isinstance(claims, dict):
        raise TokenUnverified
    return claims


def decode_part(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
