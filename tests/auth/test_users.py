"""Create users, and let them join and leave groups."""

import pytest

from auth import users
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
