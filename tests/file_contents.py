"""Build the collections that describe what is inside Acme's files, for a few arguments."""

from collections.abc import Iterable, Mapping, Sequence

from onedoor.connectors.files.contents import CONTENT_CAPABILITIES
from onedoor.connectors.memory import MemoryCollection
from onedoor.spi.predicates import Row

TEXT_BYTES = (65_536, 20)
FIRST = (20, 1)
MINUTES = (5, 1)


def content_collections(ids: Iterable[str]) -> Mapping[str, MemoryCollection]:
    """By collection; only what `TEXT_BYTES` and its like name is known, of anything else there is no row."""
    known = list(ids)
    texts = [(id, most, f"what is in {id}"[:most]) for id in known for most in TEXT_BYTES]
    rows = [(id, first, (), "", cells(first)) for id in known for first in FIRST]
    urls = [(id, minutes, f"https://files.example/{id}?for={minutes}") for id in known for minutes in MINUTES]
    given: Mapping[str, Sequence[Row]] = {
        "text": [(id, text, most) for id, most, text in texts],
        "rows": [(id, row_count, first, columns, where) for id, first, columns, where, row_count in rows],
        "download": [(id, url, minutes) for id, minutes, url in urls],
    }
    return {
        name: MemoryCollection(capabilities=CONTENT_CAPABILITIES[name], rows=tuple(item))
        for name, item in given.items()
    }


def cells(first: int) -> tuple[str, ...]:
    return tuple(f'{{"number": {number}}}' for number in range(min(first, 2)))
