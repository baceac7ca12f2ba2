"""Every vendored package names its licence, and none loads anything from elsewhere."""

import re
from pathlib import Path

import pytest

from tests.e2e.clients.conftest import ROOT

VENDOR = ROOT / "tests" / "vendor"
BUNDLES = sorted(path for path in VENDOR.iterdir() if path.is_dir())
PLACES = re.compile(rb"npmjs|unpkg|jsdelivr|yarnpkg|cdnjs|esm\.sh|skypack|sourceMappingURL")
MEGABYTES = 6


@pytest.mark.parametrize("folder", BUNDLES, ids=lambda path: path.name)
def test_a_bundle_lies_beside_its_licence(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {f"{folder.name}.mjs", "LICENSE"}
    assert f"`{folder.name}/`" in (VENDOR / "README.md").read_text()


@pytest.mark.parametrize("folder", BUNDLES, ids=lambda path: path.name)
def test_a_bundle_names_no_place_to_load_from(folder: Path) -> None:
    assert [part for path in folder.iterdir() for part in PLACES.findall(path.read_bytes())] == []


def test_the_bundles_stay_small() -> None:
    assert sum(path.stat().st_size for path in VENDOR.rglob("*.mjs")) < MEGABYTES * 1_000_000
