"""Bytes in, bytes that no one can read or change out: each sealed for the one key it is kept under."""

import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE = 12


def sealed(secret: bytes, key: bytes, plain: bytes) -> bytes:
    """Every key has a cipher of its own, so that no number of writes wears one out."""
    nonce = secrets.token_bytes(NONCE)
    return nonce + _cipher(secret, key).encrypt(nonce, plain, key)


def unsealed(secret: bytes, key: bytes, found: bytes) -> bytes | None:
    """None: we did not write this, or not under this key."""
    try:
        return _cipher(secret, key).decrypt(found[:NONCE], found[NONCE:], key)
    except (InvalidTag, ValueError):
        return None


def _cipher(secret: bytes, key: bytes) -> AESGCM:
    return AESGCM(hmac.digest(secret, key, "sha256"))
