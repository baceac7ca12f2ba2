"""Ten thousand random alterations of sealed logs, by somebody who can mend the chain but has no key: all are found."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from onedoor.audit.log import hash_line, link_line
from onedoor.audit.record import to_line
from onedoor.audit.statements import STATEMENT_OFFSET, SignedStatement
from tests.audit.conftest import record_of
from tests.audit.sealed_logs import MemoryStore, verify_lines, write_log

Files = dict[str, list[bytes]]
Alteration = Callable[[Files, random.Random], None]
ALTERATIONS = 10_000


def relink(lines: list[bytes], start: int) -> None:
    """Mend the chain from a line on."""
    for place in range(max(start, 1), len(lines)):
        lines[place] = link_line(b"{" + lines[place][STATEMENT_OFFSET:], hash_line(lines[place - 1]))


def pick(files: Files, dice: random.Random) -> list[bytes]:
    return files[dice.choice(sorted(files))]


def forge(dice: random.Random) -> bytes:
    return b'{"prev":"' + b"0" * 64 + b'",' + to_line(record_of(dice.randrange(100_000)))[1:]


def mend_perhaps(lines: list[bytes], place: int, dice: random.Random) -> None:
    if dice.random() < 0.5:
        relink(lines, place)


def edit(files: Files, dice: random.Random) -> None:
    lines = pick(files, dice)
    place = dice.randrange(len(lines))
    line = bytearray(lines[place])
    line[dice.randrange(len(line))] ^= 1 << dice.randrange(8)
    lines[place : place + 1] = bytes(line).split(b"\n")
    mend_perhaps(lines, place + 1, dice)


def delete(files: Files, dice: random.Random) -> None:
    lines = pick(files, dice)
    place = dice.randrange(len(lines))
    del lines[place : place + dice.randint(1, 3)]
    mend_perhaps(lines, place, dice)


def insert(files: Files, dice: random.Random) -> None:
    lines = pick(files, dice)
    place = dice.randint(0, len(lines))
    lines.insert(place, forge(dice))
    mend_perhaps(lines, place, dice)


def reorder(files: Files, dice: random.Random) -> None:
    lines = pick(files, dice)
    first, second = sorted(dice.sample(range(len(lines)), 2))
    lines[first], lines[second] = lines[second], lines[first]
    mend_perhaps(lines, first, dice)


def truncate(files: Files, dice: random.Random) -> None:
    lines = pick(files, dice)
    del lines[dice.randrange(1, len(lines)) :]


def empty(files: Files, dice: random.Random) -> None:
    name = dice.choice(sorted(files))
    if dice.random() < 0.5:
        files[name] = []
    else:
        del files[name]


def fork(files: Files, dice: random.Random) -> None:
    """Go on otherwise from some line, as if the process had written other records."""
    lines = pick(files, dice)
    place = dice.randrange(1, len(lines))
    lines[place:] = [forge(dice) for _ in range(dice.randint(1, len(lines)))]
    relink(lines, place)


def roll_back(files: Files, dice: random.Random) -> None:
    """Put back every file, or one, as it was at an earlier checkpoint."""
    for name in sorted(files) if dice.random() < 0.5 else [dice.choice(sorted(files))]:
        lines = files[name]
        ends = [place for place, line in enumerate(lines[:-1]) if line.startswith(b'"checkpoint"', STATEMENT_OFFSET)]
        del lines[dice.choice(ends) + 1 :]


def copy(files: Files, dice: random.Random) -> None:
    """Put a file in another's place, or beside it under another name."""
    source, target = dice.sample(sorted(files), 2)
    files[target if dice.random() < 0.5 else target.replace("-", "-9")] = list(files[source])


KINDS: tuple[Alteration, ...] = (edit, delete, insert, reorder, truncate, empty, fork, roll_back, copy)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Files, list[SignedStatement]]:
    store, folder = MemoryStore(), tmp_path_factory.mktemp("sealed")
    files = dict(write_log(folder, store, process, rounds) for process, rounds in ((1, (4, 3)), (2, (2, 3)), (3, (3,))))
    return files, store.statements


def test_logs_that_nobody_altered_are_whole_and_sealed(sealed: tuple[Files, list[SignedStatement]]) -> None:
    files, published = sealed
    result = verify_lines(files, published)
    assert (result.files, result.records, result.unsealed, result.findings) == (3, 15, 0, ())


def test_every_alteration_is_found(sealed: tuple[Files, list[SignedStatement]]) -> None:
    files, published = sealed
    dice, counts = random.Random(15), Counter[str]()
    missed = []
    while counts.total() < ALTERATIONS:
        alter = dice.choice(KINDS)
        altered = {name: list(lines) for name, lines in files.items()}
        alter(altered, dice)
        if altered == files:
            continue
        counts[alter.__name__] += 1
        if not verify_lines(altered, published).is_altered:
            missed.append((alter.__name__, counts.total()))
    assert missed == []
    assert min(counts.values()) > ALTERATIONS / len(KINDS) / 2
