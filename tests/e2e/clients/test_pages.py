"""The code that docs/frontend.md shows is the code that runs here."""

from pathlib import Path

import pytest

from tests.docs.pages import every
from tests.e2e.clients.conftest import HERE, ROOT

PAGE = ROOT / "docs/frontend.md"
SHOWN = {name: block.text for block in every(PAGE) for name in block.words if "." in name}
WRITTEN = [path for path in (HERE / "dashboard").iterdir() if path.is_file() and path.name != "graphql.ts"]


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_the_page_shows_the_file_as_it_is(path: Path) -> None:
    assert SHOWN[path.name] == path.read_text(encoding="utf-8")


def test_the_page_shows_no_other_file() -> None:
    assert set(SHOWN) == {path.name for path in WRITTEN}
