"""Load groups.toml, and refuse a wrong one in a sentence."""

from pathlib import Path

import pytest

from auth import users
from auth.policy import Group, Groups
from onedoor.errors import ConfigurationError
from onedoor.storage.database import MetadataDatabase

FINANCE = '[finance]\npurpose = "Keeps the books."\nowner = "finance"\n'


def load(folder: Path, text: str) -> Groups:
    path = folder / "groups.toml"
    path.write_text(text)
    return Groups.load(path)


def test_an_empty_file_registers_the_groups_of_the_product(tmp_path: Path) -> None:
    assert load(tmp_path, "").names == {"everyone", "audit"}


def test_a_group_is_a_section_with_its_purpose_and_owner(tmp_path: Path) -> None:
    assert list(load(tmp_path, FINANCE))[-1] == Group(name="finance", purpose="Keeps the books.", owner="finance")


def test_a_company_may_say_who_answers_for_a_group_of_the_product(tmp_path: Path) -> None:
    (audit,) = (group for group in load(tmp_path, '[audit]\nowner = "legal"\n') if group.name == "audit")
    assert (audit.owner, audit.purpose) == ("legal", "Reads the audit log.")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[finance]\nowner = "x"\n', "the group `finance` in groups.toml needs `purpose`, a text"),
        ('[finance]\npurpose = "x"\n', "the group `finance` in groups.toml needs `owner`, a text"),
        ('finance = "x"\n', "`finance` in groups.toml must be a section: write `[finance]`"),
        (f'{FINANCE}ownr = "x"\n', "there is no setting of the group `finance` `ownr`: did you mean `owner`"),
    ],
)
def test_a_wrong_group_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    assert str(caught.value) == message


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Groups.load(tmp_path / "groups.toml")
    assert str(caught.value) == (
        f"there is no `{tmp_path}/groups.toml`: create it, empty for the groups `everyone` and `audit` alone"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("financ", "there is no group `financ`: did you mean `finance`", id="the nearest is offered"),
        pytest.param("*", "there is no group `*`: there are `audit`, `everyone`, `finance`", id="there is no wildcard"),
    ],
)
def test_only_a_registered_group_is_taken(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, FINANCE).require(name)
    assert str(caught.value) == message


def test_memberships_in_groups_that_nobody_registered_are_named(state: MetadataDatabase) -> None:
    users.create_user(state, first_name="Ada", last_name="Lovelace", email="ada@acme.example")
    users.join_group(state, "ada@acme.example", "alchemy")
    assert users.list_unregistered_memberships(state, Groups()) == (("ada@acme.example", "alchemy"),)
