"""A cache is bounded by bytes, and who fills it pushes out what is their own."""

import random

from onedoor.runtime.fair_cache import FairCache


def test_one_holds_half_of_the_bytes_and_loses_the_least_used_first() -> None:
    cache = FairCache[str, int](200)
    for number in range(3):
        cache.put(f"key {number}", number, 40, "ada")
    cache.put("small", 3, 20, "ada")
    assert [cache.get(f"key {number}") for number in range(3)] == [None, 1, 2]
    cache.get("key 1")
    cache.put("more", 4, 40, "ada")
    assert (cache.get("key 1"), cache.get("key 2")) == (1, None)


def test_one_who_fills_it_pushes_out_nothing_of_others() -> None:
    cache = FairCache[str, int](100)
    cache.put("of grace", 0, 20, "grace")
    for number in range(1_000):
        cache.put(f"of ada {number}", number, 10, "ada")
    assert (cache.get("of grace"), len(cache)) == (0, 6)


def test_what_would_fill_it_is_not_kept() -> None:
    cache = FairCache[str, int](100)
    cache.put("large", 0, 51, "ada")
    assert (cache.get("large"), len(cache)) == (None, 0)


def test_random_steps_keep_the_bounds() -> None:
    dice, cache = random.Random(0), FairCache[int, int](1_000)
    for _ in range(5_000):
        key = dice.randrange(200)
        match dice.randrange(3):
            case 0:
                assert cache.get(key) in (None, key)
            case 1:
                cache.remove(key)
            case 2:
                cache.put(key, key, dice.randrange(1, 200), dice.choice(("ada", "grace", "alan")))
        sizes = [entry.size for entry in cache.entries.values()]
        assert sum(sizes) == cache.bytes_by_owner.total() <= 1_000
        assert max(cache.bytes_by_owner.values(), default=0) <= 500
        assert sum(map(len, cache.keys_by_owner.values())) == len(cache)
