"""Tell by its name whether a column holds what nobody but a program should read."""

from onedoor.codegen.naming import split_words

SECRET_WORDS = frozenset(
    {
        "password", "passwords", "passwd", "passphrase", "passcode", "pwd", "secret", "secrets", "credential",
        "credentials", "encrypted", "crypted", "otp", "totp", "cvv", "cvc",
    }
)  # fmt: skip
"""Words that make a secret wherever they stand in a name."""

SECRET_ENDINGS = (
    ("pass",), ("token",), ("tokens",), ("token", "hash"), ("token", "digest"), ("token", "value"), ("salt",),
    ("pepper",), ("api", "key"), ("apikey",), ("access", "key"), ("secret", "key"), ("private", "key"),
    ("signing", "key"), ("encryption", "key"), ("auth", "key"), ("session", "key"), ("ssh", "key"), ("pin", "hash"),
    ("key", "hash"), ("key", "digest"), ("backup", "codes"), ("recovery", "codes"), ("activation", "key"),
)  # fmt: skip
"""Words that make a secret at the end of a name."""

FACT_ENDINGS = frozenset(
    {
        "id", "ids", "at", "on", "date", "time", "type", "kind", "count", "expires", "expiry", "expiration", "length",
        "policy", "enabled", "required", "changed", "status", "state", "algorithm", "method", "provider", "url",
        "limit",
    }
)  # fmt: skip
"""Words at the end of a name that tell something about a secret, and not the secret."""


def looks_like_secret(name: str) -> bool:
    words = split_words(name)
    if words[-1] in FACT_ENDINGS:
        return False
    return not SECRET_WORDS.isdisjoint(words) or any(words[-len(ending) :] == ending for ending in SECRET_ENDINGS)
