"""Mint, format and parse API keys."""

import random

import pytest

from auth.key_format import (
    BASE62_ALPHABET,
    KEY_RANDOM_BYTES,
    PlaintextKey,
    derive_demo_key,
    format_key,
    hash_secret,
    is_same_digest,
    mint_key,
    parse_key,
)

PEPPER = b"a pepper of at least thirty-two characters"
KEY = mint_key(bytes(range(KEY_RANDOM_BYTES)))


def test_a_key_is_read_as_it_was_written() -> None:
    for seed in range(1_000):
        key = mint_key(random.Random(seed).randbytes(KEY_RANDOM_BYTES))
        assert parse_key(format_key(key)) == key


def test_the_secret_holds_all_of_its_256_bits() -> None:
    random_bytes = bytes(16) + b"\xff" * 32
    number = 0
    for character in mint_key(random_bytes).secret:
        number = number * 62 + BASE62_ALPHABET.index(character)
    assert number == 2**256 - 1


def test_one_wrong_character_anywhere_is_noticed_without_a_look_up() -> None:
    text = format_key(KEY)
    for place in range(len(text)):
        for character in BASE62_ALPHABET + "_ \n\x00é":
            mutated = text[:place] + character + text[place + 1 :]
            assert mutated == text or parse_key(mutated) is None


def test_ten_thousand_mutated_keys_never_crash_and_never_open() -> None:
    dice = random.Random(1)
    for _ in range(10_000):
        characters = list(format_key(KEY))
        for _ in range(dice.randint(1, 4)):
            place = dice.randrange(len(characters) + 1)
            characters[place : place + dice.randint(0, 3)] = dice.choices(
                [*BASE62_ALPHABET, "_", "é", "\n", "\ud800", ""], k=2
            )
        mutated = "".join(characters)
        assert mutated == format_key(KEY) or parse_key(mutated) is None


@pytest.mark.parametrize(
    "text", [None, "", "od_", "é" * 67, "1" * 10_000_000, format_key(KEY) + "\n", " " + format_key(KEY)]
)
def test_what_is_no_key_is_none(text: str | None) -> None:
    assert parse_key(text) is None


def test_a_digest_needs_both_pepper_and_secret() -> None:
    digests = {hash_secret(pepper, secret) for pepper in (PEPPER, b"other") for secret in (KEY.secret, "0" * 43)}
    assert len(digests) == 4
    assert is_same_digest(hash_secret(PEPPER, KEY.secret), hash_secret(PEPPER, KEY.secret))


def test_a_demo_key_depends_on_pepper_and_group_alone() -> None:
    keys = [derive_demo_key(pepper, group) for pepper in (PEPPER, b"other") for group in ("sales", "finance")]
    assert len({key.id for key in keys}) == len({key.secret for key in keys}) == 4
    assert derive_demo_key(PEPPER, "sales") == keys[0] == parse_key(format_key(keys[0]))


def test_a_key_shown_by_accident_shows_no_secret() -> None:
    assert repr(PlaintextKey(id="4PpNKnMFvEXo", secret="x" * 43)) == "PlaintextKey(id='4PpNKnMFvEXo')"
