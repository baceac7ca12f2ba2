"""The locks name versions and hashes, no addresses, and nothing older than an advisory allows."""

import itertools
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "requirements"
LOCKS = sorted(FOLDER.glob("*.txt"))
LISTS = sorted(FOLDER.glob("*.in"))

PINNED = re.compile(r"([a-z0-9][a-z0-9.-]*)==([0-9][0-9a-z.]*)( ; [^\\]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
REMARK = re.compile(r"\s*#.*")
ADDRESS = re.compile(r"://|\bgit\+|@ file|--(extra-)?index-url|--find-links|--trusted-host|^-[if]\b", re.MULTILINE)

LEAST = {
    "graphql-core": (3, 3, 2),
    "strawberry-graphql": (0, 315, 7),
    "starlette": (1, 3, 1),
    "h11": (0, 16),
    "snowflake-connector-python": (4, 5, 0),
    "aiohttp": (3, 14, 2),
}
"""By what the advisories in docs say; older ones are unsafe here."""


def pins(lock: Path) -> dict[str, tuple[int, ...]]:
    matches = (PINNED.fullmatch(line) for line in lock.read_text().splitlines())
    return {match[1]: tuple(map(int, re.findall(r"\d+", match[2]))) for match in matches if match}


def test_there_are_locks_and_what_they_were_made_of() -> None:
    assert {lock.stem for lock in LOCKS} == {list_.stem for list_ in LISTS} != set()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_holds_names_versions_and_hashes_and_nothing_else(lock: Path) -> None:
    lines = [line for line in lock.read_text().splitlines() if line.strip()]
    odd = [line for line in lines if not any(kind.fullmatch(line) for kind in (PINNED, HASH, REMARK))]
    assert (odd, len(pins(lock)) > 10) == ([], True)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_everything_in_a_lock_has_a_hash(lock: Path) -> None:
    lines = lock.read_text().splitlines()
    followed = [after for line, after in itertools.pairwise(lines) if PINNED.fullmatch(line)]
    assert (len(followed), [item for item in followed if not HASH.fullmatch(item)]) == (len(pins(lock)), [])


@pytest.mark.parametrize("path", [*LOCKS, *LISTS], ids=lambda path: path.name)
def test_no_address_stands_in_a_lock(path: Path) -> None:
    assert ADDRESS.findall(path.read_text()) == []


@pytest.mark.parametrize("name", LEAST)
def test_nothing_is_older_than_an_advisory_allows(name: str) -> None:
    locked = {lock.stem: pins(lock)[name] for lock in LOCKS if name in pins(lock)}
    assert (locked != {}, {stem: version for stem, version in locked.items() if version < LEAST[name]}) == (True, {})


@pytest.mark.parametrize("name", ["graphql-core", "strawberry-graphql", "h11"])
def test_every_lock_names_what_every_server_needs(name: str) -> None:
    assert [lock.stem for lock in LOCKS if name not in pins(lock) and lock.stem != "fakesnow"] == []


def test_the_demos_snowflake_has_packages_of_its_own() -> None:
    locked = {lock.stem: pins(lock).get("snowflake-connector-python", ())[:1] for lock in LOCKS}
    assert locked == {"server": (5,), "demo": (5,), "development": (5,), "fakesnow": (4,)}
