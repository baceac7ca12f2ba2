"""Tables generated from the code equal those on the pages, or are rewritten by DOCS=write."""

import os
from pathlib import Path

import pytest

from onedoor.errors import ErrorCode
from tests import acme
from tests.docs.codes import CODES
from tests.docs.generated import GENERATED, MARK
from tests.docs.pages import ROOT


@pytest.mark.parametrize("name", GENERATED)
def test_what_the_page_says_is_what_the_code_says(name: str) -> None:
    page = ROOT / "docs" / name
    expected = GENERATED[name]() + "\n"
    if os.environ.get("DOCS") == "write":
        rewrite(page, expected)
    assert page.read_text(encoding="utf-8").partition(MARK)[2].lstrip("\n") == expected, "run `make docs`"


def rewrite(page: Path, text: str) -> None:
    before = page.read_text(encoding="utf-8").partition(MARK)[0]
    page.write_text(f"{before}{MARK}\n\n{text}", encoding="utf-8")


def test_every_setting_is_explained() -> None:
    rows = (ROOT / "docs/settings.md").read_text(encoding="utf-8").splitlines()
    assert [row for row in rows if row.startswith("|") and row.replace(" ", "").endswith("||")] == []


def test_every_code_is_explained() -> None:
    assert list(CODES) == list(ErrorCode)


@pytest.mark.parametrize("code", [code for code, result in CODES.items() if result.query])
async def test_the_example_of_a_code_gets_it(code: ErrorCode) -> None:
    result = await acme.ask(acme.open_engine(acme.build_catalog()), CODES[code].query or "")
    assert [fault.code for fault in result.errors] == [code]
