"""Create users, and let them join and leave groups."""

from collections.abc import Callable
from typing import Any

import pytest

from auth import users
from auth.attribution import UNATTRIBUTED
from auth.directory import claims
from auth.users import User
from onedoor.errors import ConfigurationError
from onedoor.storage.database import MetadataDatabase

ADA = "ada@acme.example"


@pytest.fixture
def ada(state: MetadataDatabase) -> User:
    return users.create_user(state, first_name="Ada", last_name="Lovelace", email=ADA)


def groups(state: MetadataDatabase) -> tuple[str, ...]:
    return users.list_users(state)[0].groups


def test_a_new_person_is_in_everyone_and_nothing_else(state: MetadataDatabase, ada: User) -> None:
    assert users.list_users(state) == (ada,)
    assert ada.groups == ("everyone",)


@pytest.mark.parametrize("email", [ADA, "ADA@Acme.Example", "\uff41da@acme.example"])
def test_one_address_is_one_person_however_it_is_written(state: MetadataDatabase, ada: User, email: str) -> None:
    with pytest.raises(ConfigurationError, match="already a person"):
        users.create_user(state, first_name="Eve", last_name="L", email=email)
    users.join_group(state, email, "sales")
    assert groups(state) == ("everyone", "sales")


def test_joining_twice_is_joining_once_and_leaving_undoes_it(state: MetadataDatabase, ada: User) -> None:
    users.join_group(state, ADA, "sales")
    users.join_group(state, ADA, "sales")
    assert groups(state) == ("everyone", "sales")
    users.leave_group(state, ADA, "sales")
    assert groups(state) == ("everyone",)


def test_being_in_one_group_says_nothing_of_another(state: MetadataDatabase, ada: User) -> None:
    users.create_user(state, first_name="Bob", last_name="B", email="bob@acme.example")
    users.join_group(state, "bob@acme.example", "finance")
    assert [person.groups for person in users.list_users(state)] == [("everyone",), ("everyone", "finance")]


@pytest.mark.parametrize(
    ("email", "group", "message"),
    [
        pytest.param("adda@acme.example", "sales", f"there is no person `adda@acme.example`: did you mean `{ADA}`",
                     id="the nearest person is offered"),
    ],
)  # fmt: skip
def test_only_a_known_person_joins_a_group(
    state: MetadataDatabase, ada: User, email: str, group: str, message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        users.join_group(state, email, group)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("everyone", "nobody leaves `everyone`: deactivate the person instead"),
        ("sales", f"`{ADA}` is not in the group `sales`"),
        ("saless", f"`{ADA}` is not in the group `saless`"),
    ],
)
def test_a_group_is_left_only_by_who_is_in_it(state: MetadataDatabase, ada: User, group: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        users.leave_group(state, ADA, group)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("first", "email"),
    [("", "a@b"), (" ", "a@b"), ("A\x1b[31m", "a@b"), ("A\n", "a@b"), ("A\u202e", "a@b"), ("A", "ab"), ("A", "a b@c")],
)
def test_a_name_that_a_terminal_would_act_on_is_refused(state: MetadataDatabase, first: str, email: str) -> None:
    with pytest.raises(ConfigurationError):
        users.create_user(state, first_name=first, last_name="B", email=email)
    assert users.list_users(state) == ()


def test_a_person_gets_another_name_and_address_and_stays_who_they_are(state: MetadataDatabase, ada: User) -> None:
    users.rename_user(state, ADA, first_name="Augusta", last_name="King")
    users.change_email(state, ada.id, "augusta@acme.example")
    renamed = users.load_user(state, "AUGUSTA@acme.example")
    assert (renamed.id, renamed.first_name, renamed.last_name) == (ada.id, "Augusta", "King")
    users.create_user(state, first_name="Eve", last_name="L", email=ADA)
    with pytest.raises(ConfigurationError, match="there is already a person with the e-mail address `Augusta@"):
        users.change_email(state, ADA, "Augusta@acme.example")


def change_address(state: MetadataDatabase, clock: Any) -> None:
    users.change_email(state, ADA, "augusta@acme.example")


def leave_and_come_back(state: MetadataDatabase, clock: Any) -> None:
    users.deactivate_user(state, ADA)
    clock.seconds = 60
    users.activate_user(state, ADA)


@pytest.mark.parametrize("change", [change_address, leave_and_come_back])
def test_a_code_that_waits_goes_to_no_other_address_and_outlasts_no_leave(
    state: MetadataDatabase, ada: User, clock: Any, change: Callable[[MetadataDatabase, Any], None]
) -> None:
    claim = claims.replace_claim(state, ADA, UNATTRIBUTED)
    change(state, clock)
    assert claims.list_claims(state) == ()
    with pytest.raises(ConfigurationError, match="used already or is too old"):
        claims.redeem_claim(state, claim.id, ada.id, UNATTRIBUTED)


def test_whoever_comes_back_is_in_the_groups_they_were_in(state: MetadataDatabase, ada: User, clock: Any) -> None:
    users.join_group(state, ADA, "finance")
    clock.seconds = 60
    users.deactivate_user(state, ADA)
    clock.seconds = 120
    assert users.activate_user(state, ADA).groups == ("everyone", "finance")
    periods = users.list_membership_periods(state, group="finance")
    assert [(period.since.minute, period.until and period.until.minute) for period in periods] == [(0, 1), (2, None)]
    with pytest.raises(ConfigurationError, match=f"`{ADA}` is active"):
        users.activate_user(state, ADA)


def test_attributes_are_set_one_by_one_and_removed_by_no_values(state: MetadataDatabase, ada: User) -> None:
    users.set_attributes(state, ADA, {"customer": ("20", "21"), "site": ("Bern",)})
    users.set_attributes(state, ADA, {"customer": ("22",), "site": ()})
    assert users.load_user(state, ADA).attributes == {"customer": ("22",)}
    for attributes in ({"a b": ("x",)}, {"a": ("",)}, {"a": ("x\n",)}, {"a": ("x" * 10_000,)}):
        with pytest.raises(ConfigurationError):
            users.set_attributes(state, ADA, attributes)


@pytest.mark.parametrize("name", ["Till", "till@shop", "t", "till 7", "7till"])
def test_a_service_is_named_by_small_letters_digits_and_dashes(state: MetadataDatabase, name: str) -> None:
    with pytest.raises(ConfigurationError, match="is no name of a service"):
        users.create_service(state, name=name, owner_group="sales")


def test_a_service_is_one_by_its_name_and_keeps_it(state: MetadataDatabase) -> None:
    users.create_service(state, name="till-7", owner_group="sales")
    with pytest.raises(ConfigurationError, match="there is already a service `till-7`"):
        users.create_service(state, name="till-7", owner_group="finance")
    with pytest.raises(ConfigurationError, match="`till-7` is a service, whose name stays: create another"):
        users.change_email(state, "till-7", ADA)
