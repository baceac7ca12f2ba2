"""Whatever a SCIM client sends, in whatever order: people and memberships are what a model of it says."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from scim2_models import ConflictException, PatchOp, Resource, ResourceType
from scim2_server.utils import parametrize

from auth import users
from auth.attribution import Attribution, SubjectChange
from auth.directory.scim_service import build_provider
from auth.directory.scim_storage import ScimDirectory, ScimStorage
from auth.groups import FunctionalGroup, Groups
from onedoor.storage.database import open_database
from tests.metadata import copy_sqlite

PEPPER = b"a pepper of at least thirty-two characters"
NAMES = ("ann@x.example", "ANN@X.example", "ａnn@x.example", "bob@x.example", "op@x.example", "no address")
GROUP_NAMES = ("feeds-finance", "feeds-both", "operators", "finance", "other")
REGISTER = Groups(
    [
        FunctionalGroup(name="finance", purpose="p", owner="o", directory_groups=("feeds-finance", "feeds-both")),
        FunctionalGroup(name="support", purpose="p", owner="o", directory_groups=("feeds-both",)),
        FunctionalGroup(name="operators", purpose="p", owner="o"),
    ]
)
OPERATOR = "op@x.example"
EMAILS = ("ann@x.example", "bob@x.example")


async def begin_nothing(change: SubjectChange) -> None:
    return None


class DirectoryMachine(RuleBasedStateMachine):
    """The model: users by id as (name, active), groups by id as (name, ids of members)."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.state = open_database(copy_sqlite(Path(self.folder.name)), PEPPER)
        self.provider = build_provider()
        directory = ScimDirectory(database=self.state, groups=REGISTER)
        self.storage = ScimStorage(directory, self.provider, Attribution(actor="scim"), begin_nothing)
        self.user_type, self.group_type = self.provider.resource_types
        self.users: dict[str, tuple[str, bool]] = {}
        self.groups: dict[str, tuple[str, frozenset[str]]] = {}
        users.create_user(self.state, first_name="Op", last_name="Erator", email=OPERATOR)
        users.join_group(self.state, OPERATOR, "operators")
        self.operator = users.load_user(self.state, OPERATOR)

    def teardown(self) -> None:
        self.state.close()
        self.folder.cleanup()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        with self.provider:
            return asyncio.run(work)

    def build(self, resource_type: ResourceType, **values: Any) -> Resource[Any]:
        return self.provider.model_for(resource_type).model_validate(values)

    def is_taken(self, name: str, but: str | None = None) -> bool:
        folded = users.fold_email(name)
        return any(users.fold_email(other) == folded for id, (other, _) in self.users.items() if id != but)

    @rule(name=st.sampled_from(NAMES), active=st.booleans())
    def create_user(self, name: str, active: bool) -> None:
        resource = self.build(self.user_type, userName=name, active=active)
        if self.is_taken(name) or (active and name == OPERATOR):
            with pytest.raises(ConflictException):
                self.run(self.storage.create(self.user_type, resource))
            return
        created = self.run(self.storage.create(self.user_type, resource))
        self.users[created.id] = name, active

    @precondition(lambda self: self.users)
    @rule(data=st.data(), active=st.booleans())
    def switch_user(self, data: st.DataObject, active: bool) -> None:
        id = data.draw(st.sampled_from(list(self.users)))
        name, _ = self.users[id]
        current = self.run(self.storage.get(self.user_type, id))
        current.active = active
        if active and name == OPERATOR:
            with pytest.raises(ConflictException):
                self.run(self.storage.update(self.user_type, current))
            return
        self.run(self.storage.update(self.user_type, current))
        self.users[id] = name, active

    @precondition(lambda self: self.users)
    @rule(data=st.data())
    def delete_user(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(list(self.users)))
        self.run(self.storage.delete(self.user_type, id))
        del self.users[id]
        self.groups = {group: (name, members - {id}) for group, (name, members) in self.groups.items()}

    @rule(name=st.sampled_from(GROUP_NAMES), data=st.data())
    def create_group(self, name: str, data: st.DataObject) -> None:
        members = self.draw_members(data)
        values = [{"value": member} for member in sorted(members)]
        created = self.run(
            self.storage.create(self.group_type, self.build(self.group_type, displayName=name, members=values))
        )
        self.groups[created.id] = name, members

    @precondition(lambda self: self.groups)
    @rule(name=st.sampled_from(GROUP_NAMES), data=st.data())
    def replace_group(self, name: str, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(list(self.groups)))
        members = self.draw_members(data)
        operations = [
            {"op": "replace", "path": "displayName", "value": name},
            {"op": "replace", "path": "members", "value": [{"value": member} for member in sorted(members)]},
        ]
        with self.provider:
            current = self.run(self.storage.get(self.group_type, id))
            patch = parametrize(PatchOp, type(current)).model_validate({"Operations": operations})
            patch.patch(current)
        self.run(self.storage.update(self.group_type, current))
        self.groups[id] = name, members

    @precondition(lambda self: self.groups)
    @rule(data=st.data())
    def delete_group(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(list(self.groups)))
        self.run(self.storage.delete(self.group_type, id))
        del self.groups[id]
        self.groups = {group: (name, members - {id}) for group, (name, members) in self.groups.items()}

    def draw_members(self, data: st.DataObject) -> frozenset[str]:
        known = [*self.users, *self.groups]  # in the order of creation: ids are random
        return frozenset(data.draw(st.sets(st.sampled_from(known), max_size=4))) if known else frozenset()

    def list_model_groups(self, id: str) -> set[str]:
        """The functional groups of a user, by walking up from each group until nothing is added."""
        reached = {id}
        while True:
            more = {group for group, (_, members) in self.groups.items() if members & reached} - reached
            if not more:
                break
            reached |= more
        names = {self.groups[group][0] for group in reached if group in self.groups}
        return {group.name for group in REGISTER if names & set(group.directory_groups)}

    @invariant()
    def people_are_what_the_model_says(self) -> None:
        model = {
            users.fold_email(name): self.list_model_groups(id)
            for id, (name, active) in self.users.items()
            if active and "@" in name and name != OPERATOR
        }
        people = {user.email: user for user in users.list_users(self.state) if user.email != OPERATOR}
        active = {users.fold_email(email): user for email, user in people.items() if user.deactivated_at is None}
        assert active.keys() == model.keys()
        for email, user in active.items():
            assert {m.group for m in user.memberships if m.source == "scim"} == model[email]
        for email, user in people.items():
            if user.deactivated_at is not None:
                assert {str(m.source) for m in user.memberships} == {"local"}, email

    @invariant()
    def the_operator_is_as_before(self) -> None:
        assert users.load_user(self.state, OPERATOR) == self.operator


DirectoryMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestDirectoryMachine = DirectoryMachine.TestCase
