"""Our HMAC equals that of the standard library."""

import hmac
import random

from auth.key_format import prepare_hmac_digest


def test_the_digest_equals_that_of_the_standard_library() -> None:
    dice = random.Random(0)
    for length in range(130):
        key, octets = dice.randbytes(length), dice.randbytes(dice.randrange(200))
        assert prepare_hmac_digest(key)(octets) == hmac.digest(key, octets, "sha256")
