"""The text of a key."""

import random

import pytest

from auth.keys import ALPHABET, RANDOM_BYTES, Key, demo_key, digest, mint, parse, same, written

PEPPER = b"a pepper of at least thirty-two characters"
KEY = mint(bytes(range(RANDOM_BYTES)))


def test_a_key_is_read_as_it_was_written() -> None:
    for seed in range(1_000):
        key = mint(random.Random(seed).randbytes(RANDOM_BYTES))
        assert parse(written(key)) == key


def test_the_secret_holds_all_of_its_256_bits() -> None:
    random_bytes = bytes(16) + b"\xff" * 32
    number = 0
    for character in mint(random_bytes).secret:
        number = number * 62 + ALPHABET.index(character)
    assert number == 2**256 - 1


def test_one_wrong_character_anywhere_is_noticed_without_a_look_up() -> None:
    text = written(KEY)
    for place in range(len(text)):
        for character in ALPHABET + "_ \n\x00é":
            mutated = text[:place] + character + text[place + 1 :]
            assert mutated == text or parse(mutated) is None


def test_ten_thousand_mutated_keys_never_crash_and_never_open() -> None:
    dice = random.Random(1)
    for _ in range(10_000):
        characters = list(written(KEY))
        for _ in range(dice.randint(1, 4)):
            place = dice.randrange(len(characters) + 1)
            characters[place : place + dice.randint(0, 3)] = dice.choices(
                [*ALPHABET, "_", "é", "\n", "\ud800", ""], k=2
            )
        mutated = "".join(characters)
        assert mutated == written(KEY) or parse(mutated) is None


@pytest.mark.parametrize("text", [None, "", "od_", "é" * 67, "1" * 10_000_000, written(KEY) + "\n", " " + written(KEY)])
def test_what_is_no_key_is_none(text: str | None) -> None:
    assert parse(text) is None


def test_a_digest_needs_both_pepper_and_secret() -> None:
    digests = {digest(pepper, secret) for pepper in (PEPPER, b"other") for secret in (KEY.secret, "0" * 43)}
    assert len(digests) == 4
    assert same(digest(PEPPER, KEY.secret), digest(PEPPER, KEY.secret))


def test_a_demo_key_depends_on_pepper_and_group_alone() -> None:
    keys = [demo_key(pepper, group) for pepper in (PEPPER, b"other") for group in ("sales", "finance")]
    assert len({key.id for key in keys}) == len({key.secret for key in keys}) == 4
    assert demo_key(PEPPER, "sales") == keys[0] == parse(written(keys[0]))


def test_a_key_shown_by_accident_shows_no_secret() -> None:
    assert repr(Key(id="4PpNKnMFvEXo", secret="x" * 43)) == "Key(id='4PpNKnMFvEXo')"
