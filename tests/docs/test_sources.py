"""Every kind of source has a page that shows its settings, and every page belongs to a source."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from onedoor.connectors.registry import CONNECTORS
from tests.docs.pages import ROOT

FOLDER = ROOT / "docs/sources"
OF_KIND: Mapping[str, str] = {
    **dict.fromkeys(("sqlite", "postgresql", "mysql"), "sql.md"),
    "snowflake": "snowflake.md",
    "s3": "s3.md",
    "slack": "slack.md",
    "rest": "rest.md",
    **dict.fromkeys(("azure_files", "azure_blob"), "azure.md"),
    "drive": "drive.md",
    "prometheus": "prometheus.md",
    "datadog": "datadog.md",
    "graphql": "graphql.md",
    "folder": "folder.md",
}
BESIDE = frozenset({"files.md", "github.md", "own.md"})
"""Of what several kinds share, of one service that a kind speaks to, and of what has no settings."""


def page(kind: str) -> Path:
    return FOLDER / OF_KIND[kind]


def test_every_kind_is_on_a_page() -> None:
    assert set(CONNECTORS) == set(OF_KIND)


@pytest.mark.parametrize("kind", OF_KIND)
def test_a_kind_is_shown_as_it_is_set(kind: str) -> None:
    assert page(kind).exists(), f"docs/sources/{OF_KIND[kind]} is to be written"
    assert f'kind = "{kind}"' in page(kind).read_text(encoding="utf-8")


def test_every_page_is_some_sources() -> None:
    assert {path.name for path in FOLDER.glob("*.md")} <= {*OF_KIND.values(), *BESIDE}
