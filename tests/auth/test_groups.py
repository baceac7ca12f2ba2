"""Load groups.toml, and refuse a wrong one in a sentence."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from auth import users
from auth.groups import RANKS, FunctionalGroup, Groups, Sensitivity, find_groups, find_rank
from auth.memberships import IdentitySource, Membership
from onedoor.errors import ConfigurationError
from onedoor.storage.database import MetadataDatabase

FINANCE = '[finance]\npurpose = "Keeps the books."\nowner = "finance"\n'
SENSITIVE = f'{FINANCE}sensitivity = "sensitive"\n'
SCIM = IdentitySource.SCIM
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def load(folder: Path, text: str) -> Groups:
    path = folder / "groups.toml"
    path.write_text(text)
    return Groups.load(path)


def test_an_empty_file_registers_the_groups_of_the_product(tmp_path: Path) -> None:
    assert load(tmp_path, "").names == {"everyone", "audit", "user-administration", "access-review"}


def test_a_group_of_an_older_file_has_a_purpose_and_an_owner_alone(tmp_path: Path) -> None:
    groups = load(tmp_path, FINANCE)

    assert groups["finance"] == FunctionalGroup(name="finance", purpose="Keeps the books.", owner="finance")
    assert groups.list_owners_without_contact() == ["finance", "platform"]


def test_a_group_says_all_that_is_decided_by_it(tmp_path: Path) -> None:
    text = f"""
        [owners.finance]
        contact = "#finance"
        {SENSITIVE}
        from = ["acme-finance", "acme-controlling"]
        stale_after_hours = 1.5
        approvers = ["audit"]
        exclusive = true
        grant_max_hours = 2
    """
    groups = load(tmp_path, text)

    assert groups["finance"] == FunctionalGroup(
        name="finance",
        purpose="Keeps the books.",
        owner="finance",
        sensitivity=Sensitivity.SENSITIVE,
        directory_groups=("acme-finance", "acme-controlling"),
        stale_after=timedelta(hours=1.5),
        approvers=("audit",),
        exclusive=True,
        grant_max=timedelta(hours=2),
    )
    assert groups.contacts == {"finance": "#finance"}


def test_a_company_may_say_who_answers_for_a_group_of_the_product(tmp_path: Path) -> None:
    audit = load(tmp_path, '[audit]\nowner = "legal"\n')["audit"]

    assert (audit.owner, audit.purpose, audit.sensitivity) == ("legal", "Reads the audit log.", "sensitive")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[finance]\nowner = "x"\n', "the group `finance` in groups.toml needs `purpose`, a text"),
        ('[finance]\npurpose = "x"\n', "the group `finance` in groups.toml needs `owner`, a text"),
        ('finance = "x"\n', "`finance` in groups.toml must be a section: write `[finance]`"),
        (f'{FINANCE}ownr = "x"\n', "there is no setting of the group `finance` `ownr`: did you mean `owner`"),
        (
            f'{FINANCE}sensitivity = "high"\n',
            "the group `finance` in groups.toml needs `sensitivity`, `normal` or `sensitive`",
        ),
        (f'{FINANCE}from = "ad"\n', "the group `finance` in groups.toml needs `from`, a list of texts"),
        (f"{FINANCE}exclusive = 1\n", "the group `finance` in groups.toml needs `exclusive`, `true` or `false`"),
        (
            f"{FINANCE}grant_max_hours = 0\n",
            "the group `finance` in groups.toml needs `grant_max_hours`, hours, more than 0 and at most 8,784",
        ),
        (
            f"{FINANCE}stale_after_hours = 8\n",
            "the group `finance` in groups.toml has `stale_after_hours`, which a sensitive group alone takes: add"
            ' `sensitivity = "sensitive"`',
        ),
        (f'{FINANCE}approvers = ["financ"]\n', "there is no group `financ`: did you mean `finance`"),
        (
            '[everyone]\nfrom = ["all"]\n',
            "there is no setting of the group `everyone` `from`: there are `owner`, `purpose`",
        ),
        (
            f'{FINANCE}[Finance]\npurpose = "x"\nowner = "x"\n',
            "`finance` and `Finance` in groups.toml are one name to a reader: rename one",
        ),
        (
            "['finance.*']\n",
            "`finance.*` in groups.toml is no name of a group: there are no wildcards",
        ),
        (
            "['Finance Manager']\n",
            "the group `Finance Manager` in groups.toml has the name of a rank, `manager`: a group says what its"
            " members do, not how high they stand; name it after the task",
        ),
        (
            f'owners = "finance"\n{FINANCE}',
            "`owners` in groups.toml holds the teams that own groups and fields: write `[owners.finance]` with a"
            " `contact`",
        ),
        (
            '[owners.finance]\ncontact = "ask Ada"\n',
            "the owner `finance` in groups.toml needs `contact`, an e-mail address, a channel such as `#finance`, or a"
            " link that begins with `https://`",
        ),
        (
            f'[owners.finances]\ncontact = "#finance"\n{FINANCE}',
            "there is no owner `finance`: did you mean `finances`",
        ),
    ],
)  # fmt: skip
def test_a_wrong_group_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "rank"),
    [
        *((rank, rank) for rank in sorted(RANKS)),
        ("finance-admin", "admin"),
        ("VIP_support", "vip"),
        ("ＲＯＯＴ", "root"),
        ("user-administration", None),
        ("leads", None),
        ("headcount", None),
        ("staffing", None),
    ],
)
def test_a_rank_is_a_whole_word_in_any_case(name: str, rank: str | None) -> None:
    assert find_rank(name) == rank


@pytest.mark.parametrize(
    ("text", "source", "age", "is_stale"),
    [
        pytest.param(FINANCE, SCIM, timedelta(days=999), False, id="a normal group's never is"),
        pytest.param(SENSITIVE, SCIM, timedelta(hours=24), False, id="a sensitive group's is not within a day"),
        pytest.param(SENSITIVE, SCIM, timedelta(hours=24, seconds=1), True, id="a sensitive group's is after a day"),
        pytest.param(
            SENSITIVE, IdentitySource.LOCAL, timedelta(days=999), False, id="what no directory gave, none confirms"
        ),
        pytest.param(
            f"{SENSITIVE}stale_after_hours = 48",
            IdentitySource.LDAP,
            timedelta(hours=30),
            False,
            id="a limit of its own",
        ),
    ],
)
def test_a_membership_goes_stale(
    tmp_path: Path, text: str, source: IdentitySource, age: timedelta, is_stale: bool
) -> None:
    membership = Membership(group="finance", source=source, since=NOW - timedelta(days=999), confirmed_at=NOW - age)
    groups = load(tmp_path, text)
    assert groups["finance"].is_stale(membership, NOW) is is_stale
    assert find_groups(groups, [membership], NOW) == (frozenset() if is_stale else {"finance"})


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Groups.load(tmp_path / "groups.toml")
    assert str(caught.value) == (
        f"there is no `{tmp_path}/groups.toml`: create it, empty for the product's own groups alone"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("financ", "there is no group `financ`: did you mean `finance`", id="the nearest is offered"),
        pytest.param(
            "*",
            "there is no group `*`: there are `access-review`, `audit`, `everyone`, `finance`, `user-administration`",
            id="there is no wildcard",
        ),
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
