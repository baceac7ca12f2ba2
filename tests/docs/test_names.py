"""Whatever a page names exists: files, links, commands, targets of make, settings."""

import re
from pathlib import Path

import click
import pytest

from auth.groups import Groups, Sensitivity
from onedoor import config
from onedoor.cli import main
from tests.docs.pages import PAGES, ROOT, blocks, prose

FOLDERS = ("auth", "demo", "jobs", "onedoor", "resolvers", "schema")
FILE = re.compile(rf"(?<![\w/])(?:{'|'.join(FOLDERS)})/[\w/]+\.(?:py|graphql)")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")
TARGET = re.compile(r"(?:`|^    )make (\w+)", re.MULTILINE)
COMMAND = re.compile(r"python -m onedoor ((?:[a-z]+(?:-[a-z]+)* ?)+)")
ADDED = frozenset(
    {
        "jobs/reminders.py", "schema/ticket.py", "resolvers/ticket.py", "schema/office.py", "resolvers/office.py",
        "onedoor/connectors/sheets.py", "schema/introspected/NAME_mutations.py",
    }
)  # fmt: skip
"""Files that a page shows how to add."""
BY_PAGE = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES]
ENVIRONMENT = dict.fromkeys(
    ("ONEDOOR_PEPPER", "STATE_URL", "INTERNAL_URL", "SNOWFLAKE_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY",
     "SCIM_TOKEN", "LDAP_PASSWORD", "OIDC_SECRET", "SLACK_TOKEN", "REDIS_URL", "SHOP_URL", "CRM_AUTHORIZATION",
     "AZURE_FILES_KEY", "AZURE_BLOB_KEY", "AZURE_BLOB_SAS",
     "DRIVE_KEY", "PROMETHEUS_TOKEN", "DATADOG_API_KEY", "DATADOG_APP_KEY",
     "GITHUB_AUTHORIZATION", "DIRECTORY_AUTHORIZATION", "ONEDOOR_CHECKPOINT_KEY", "CHECKPOINTS_ACCESS_KEY",
     "CHECKPOINTS_SECRET_KEY", "CHECKPOINTS_SLACK_TOKEN", "AUDIT_DATABASE_URL", "AUDIT_ACCESS_KEY", "AUDIT_SECRET_KEY"),
    "of the tests, and at least thirty-two characters long",
)  # fmt: skip


@pytest.mark.parametrize("page", BY_PAGE)
def test_a_named_file_is_there(page: Path) -> None:
    named = set(FILE.findall(page.read_text(encoding="utf-8"))) - ADDED
    assert sorted(item for item in named if not (ROOT / item).exists()) == []


@pytest.mark.parametrize("page", BY_PAGE)
def test_a_link_leads_somewhere(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", BY_PAGE)
def test_a_named_target_is_there(page: Path) -> None:
    known = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(TARGET.findall(prose(page))) - set(known) == set()


@pytest.mark.parametrize("page", BY_PAGE)
def test_a_named_command_is_there(page: Path) -> None:
    for words in COMMAND.findall(prose(page)):
        command: click.Command = main.main
        for word in words.split():
            if isinstance(command, click.Group):
                assert word in command.commands, f"python -m onedoor {words}"
                command = command.commands[word]
        assert not isinstance(command, click.Group), f"python -m onedoor {words}"


@pytest.mark.parametrize("page", BY_PAGE)
def test_settings_can_be_read(page: Path, tmp_path: Path) -> None:
    for block in (block for block in blocks(page, "toml") if "groups" not in block.words):
        path = tmp_path / "onedoor.toml"
        path.write_text(block.text, encoding="utf-8")
        assert config.load_settings(path, ENVIRONMENT).sources.keys() == set(
            re.findall(r"\[sources\.(\w+)\]", block.text)
        )


def test_a_register_of_groups_can_be_read(tmp_path: Path) -> None:
    (block,) = (block for page in PAGES for block in blocks(page, "toml") if "groups" in block.words)
    path = tmp_path / "groups.toml"
    path.write_text(block.text, encoding="utf-8")
    assert Groups.load(path)["finance"].sensitivity is Sensitivity.SENSITIVE


@pytest.mark.parametrize("page", BY_PAGE)
def test_no_line_is_longer_than_120_characters(page: Path) -> None:
    lines = prose(page).splitlines()
    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []
