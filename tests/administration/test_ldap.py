"""People, keys and memberships follow a real OpenLDAP server that is read again and again."""

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from auth import api_keys, users
from auth.attribution import Attribution
from auth.authentication import open_authenticator
from auth.directory import ldap_sync, reports
from auth.directory.ldap_client import LdapClient, LdapUnavailable
from auth.directory.reports import RemovalLimits, SyncChangeKind, SyncState
from auth.directory.settings import LdapSettings
from auth.groups import FunctionalGroup, Groups
from auth.memberships import IdentitySource
from onedoor.administration.directory_acts import DirectoryActs
from onedoor.administration.ldap_follower import LdapFollower
from onedoor.audit.acts import ActRecorder
from onedoor.audit.log import open_audit_log
from onedoor.audit.reader import read_records
from onedoor.audit.record import Surface
from onedoor.errors import ConfigurationError
from onedoor.storage.database import MetadataDatabase, open_database
from tests.http.scim.conftest import SETTINGS, run_company
from tests.metadata import copy_sqlite
from tests.servers import slapd
from tests.servers.serving import HOST
from tests.servers.slapd import ADMINISTRATOR, GROUPS, PASSWORD, PEOPLE, LdapServer

PEPPER = b"a pepper of at least thirty-two characters"
REGISTER = Groups(
    [
        FunctionalGroup(name="finance", purpose="p", owner="o", directory_groups=(f"CN=Finance, {GROUPS}",)),
        FunctionalGroup(name="support", purpose="p", owner="o", directory_groups=("outer",)),
        FunctionalGroup(name="operators", purpose="p", owner="o"),
    ]
)


@pytest.fixture(scope="module")
def slapd_started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LdapServer]:
    if slapd.FOUND is None:
        pytest.skip(slapd.MISSING_MESSAGE)
    with slapd.run_slapd(tmp_path_factory.mktemp("slapd")) as running:
        yield running


@pytest.fixture
def ldap(slapd_started: LdapServer) -> LdapServer:
    slapd_started.clear()
    return slapd_started


@dataclass
class Clock:
    ahead: timedelta = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class Follower:
    """A follower of the directory, and what it has made."""

    follower: LdapFollower
    state: MetadataDatabase
    clock: Clock
    folder: Path

    async def sync(self, *, whole: bool = False) -> None:
        """Sync once; `whole`: an hour later, when all ids are compared."""
        self.clock.ahead += timedelta(hours=2) if whole else timedelta(0)
        await self.follower.run_pass()

    def person(self, name: str) -> users.User:
        return users.load_user(self.state, f"{name}@acme.example")

    def groups_of(self, name: str) -> dict[str, str]:
        return {item.group: str(item.source) for item in self.person(name).memberships}

    def active(self) -> list[str]:
        return [user.first_name for user in users.list_users(self.state) if user.deactivated_at is None]

    def counts(self) -> dict[SyncChangeKind, int]:
        return reports.list_syncs(self.state)[0].counts

    def age_people(self) -> None:
        with self.state.write_transaction() as connection:
            connection.exec_driver_sql("UPDATE person SET created_at = created_at - 86400000000")
            connection.exec_driver_sql("UPDATE membership SET since = since - 86400000000")

    def records(self) -> list[Mapping[str, Any]]:
        return list(read_records(self.folder))


def build_settings(ldap: LdapServer, **changes: Any) -> LdapSettings:
    settings = LdapSettings(
        url=f"ldap://{HOST}:{ldap.port}", bind_dn=ADMINISTRATOR, password=PASSWORD, user_base=PEOPLE,
        group_base=GROUPS, ca_file=str(ldap.certificate), attributes={"department": "departmentNumber"}, page_size=2,
    )  # fmt: skip
    return replace(settings, **changes)


@pytest.fixture
async def follower(ldap: LdapServer, tmp_path: Path) -> AsyncIterator[Follower]:
    clock = Clock()
    (tmp_path / "records").mkdir()
    with (
        closing(open_database(copy_sqlite(tmp_path), PEPPER, now=clock.now)) as state,
        closing(open_audit_log(tmp_path / "records", datetime.now(UTC))) as audit_log,
    ):
        acts = DirectoryActs(
            database=state, source=IdentitySource.LDAP, groups=REGISTER, limits=RemovalLimits(),
            recorder=ActRecorder(audit_log=audit_log, surface=Surface.LDAP, redaction_key=b"key"),
        )  # fmt: skip
        settings = build_settings(ldap)
        following = LdapFollower(acts=acts, client=LdapClient(settings), settings=settings)
        yield Follower(follower=following, state=state, clock=clock, folder=tmp_path / "records")


async def test_people_and_nested_groups_come_from_the_directory(ldap: LdapServer, follower: Follower) -> None:
    ann, bob = ldap.add_person("ann", departmentNumber="7"), ldap.add_person("bob")
    finance = ldap.add_group("finance", ann)
    outer = ldap.add_group("outer", finance, bob)
    ldap.add_member(finance, outer)
    ldap.add_group("operators", ann, bob)
    await follower.sync()
    assert (follower.person("ann").first_name, follower.person("ann").attributes) == ("Ann", {"department": ("7",)})
    assert follower.groups_of("ann") == {"everyone": "local", "finance": "ldap", "support": "ldap"}
    assert follower.groups_of("bob") == {"everyone": "local", "finance": "ldap", "support": "ldap"}
    assert follower.counts() == {SyncChangeKind.CREATED: 2, SyncChangeKind.JOINED: 4}


async def test_what_changes_is_found_without_reading_everything(ldap: LdapServer, follower: Follower) -> None:
    ann = ldap.add_person("ann")
    finance = ldap.add_group("finance", ann)
    await follower.sync()
    bob = ldap.add_person("bob")
    ldap.add_member(finance, bob)
    ldap.change(ann, sn="King", mail="countess@acme.example")
    await follower.sync()
    assert follower.groups_of("bob") == {"everyone": "local", "finance": "ldap"}
    assert follower.person("countess").last_name == "King"
    ldap.remove_member(finance, bob)
    await follower.sync()
    assert follower.groups_of("bob") == {"everyone": "local"}
    before = len(follower.records())
    await follower.sync()
    assert len(follower.records()) == before, "nothing changed, so nothing is on record"


async def test_who_is_deleted_loses_key_and_groups_when_ids_are_compared(ldap: LdapServer, follower: Follower) -> None:
    ann = ldap.add_person("ann")
    ldap.add_group("finance", ann, ldap.add_person("bob"))
    await follower.sync()
    key = api_keys.create_key(follower.state, "ann@acme.example").text
    with closing(open_authenticator(follower.state, REGISTER)) as authenticator:
        assert await authenticator.authenticate(key) is not None
    ldap.delete(ann)
    await follower.sync(whole=True)
    with closing(open_authenticator(follower.state, REGISTER)) as authenticator:
        assert await authenticator.authenticate(key) is None
    assert follower.person("ann").deactivated_at is not None
    assert follower.groups_of("ann") == {"everyone": "local"}
    ldap.add_person("ann")
    await follower.sync()
    assert (follower.active(), follower.groups_of("ann")) == (["Ann", "Bob"], {"everyone": "local"})


async def test_who_is_no_longer_found_by_the_filter_leaves_at_the_next_sync(
    ldap: LdapServer, follower: Follower
) -> None:
    ann = ldap.add_person("ann")
    await follower.sync()
    ldap.change(ann, mail=())
    await follower.sync()
    assert follower.active() == []


async def test_people_of_others_are_out_of_reach(ldap: LdapServer, follower: Follower) -> None:
    users.create_user(follower.state, first_name="Op", last_name="Erator", email="op@acme.example")
    operator = follower.person("op")
    ldap.add_person("op")
    ldap.add_person("ann")
    await follower.sync()
    assert (follower.person("op"), follower.active()) == (operator, ["Ann", "Op"])
    assert follower.counts() == {SyncChangeKind.CREATED: 1, SyncChangeKind.REFUSED: 1}


async def test_a_sync_that_would_remove_many_removes_nobody_until_it_is_approved(
    ldap: LdapServer, follower: Follower
) -> None:
    people = [ldap.add_person(f"p{number}") for number in range(8)]
    await follower.sync()
    follower.age_people()
    for dn in people[:6]:
        ldap.delete(dn)
    ldap.add_person("new")
    await follower.sync(whole=True)
    assert len(follower.active()) == 9
    halted = reports.list_syncs(follower.state)[0]
    assert (halted.state, halted.counts[SyncChangeKind.WAITING]) == (SyncState.HALTED, 6)
    await follower.sync()
    assert len(follower.active()) == 9, "what waits is not forgotten, and not done"
    reports.decide_halted_sync(follower.state, halted.id, approve=True, attribution=Attribution(actor="os:root"))
    await follower.sync()
    assert follower.active() == ["New", "P6", "P7"]


async def test_a_group_that_is_emptied_keeps_its_people_until_it_is_approved(
    ldap: LdapServer, follower: Follower
) -> None:
    people = [ldap.add_person(f"p{number}") for number in range(6)]
    finance = ldap.add_group("finance", *people, ldap.add_person("stays"))
    await follower.sync()
    follower.age_people()
    for dn in people:
        ldap.remove_member(finance, dn)
    ldap.add_member(finance, ldap.add_person("new"))
    for _ in range(2):
        await follower.sync(whole=True)
        members = {user.first_name for user in users.list_users(follower.state, group="finance")}
        assert members == {"New", "Stays", *(f"P{number}" for number in range(6))}
    (halted,) = [sync for sync in reports.list_syncs(follower.state) if sync.state is SyncState.HALTED]
    assert halted.counts[SyncChangeKind.WAITING] == 6
    reports.decide_halted_sync(follower.state, halted.id, approve=True, attribution=Attribution(actor="os:root"))
    await follower.sync()
    assert {user.first_name for user in users.list_users(follower.state, group="finance")} == {"New", "Stays"}


async def test_each_change_is_on_record(ldap: LdapServer, follower: Follower) -> None:
    ldap.add_group("finance", ldap.add_person("ann"))
    await follower.sync()
    records = follower.records()
    assert [(record["operation"], record["outcome"]) for record in records] == [
        ("ldap write users", "answered"), ("ldap write groups", "answered"), ("ldap change memberships", "answered"),
    ]  # fmt: skip
    assert {(record["surface"], record["person"]) for record in records} == {("ldap", "directory:ldap")}
    id = follower.person("ann").id
    assert id in {change["id"].split()[-1] for change in records[0]["changes"]}


async def test_one_process_at_a_time_follows_a_directory(ldap: LdapServer, follower: Follower) -> None:
    other = replace(follower.follower, holder="another process")
    assert ldap_sync.take_turn(follower.state, other.holder, timedelta(minutes=1))
    ldap.add_person("ann")
    await follower.sync()
    assert follower.active() == []
    await other.close()
    await follower.sync()
    assert follower.active() == ["Ann"]


async def test_a_directory_that_does_not_answer_is_reported_once(ldap: LdapServer, follower: Follower) -> None:
    settings = build_settings(ldap, password="another password")
    failing = replace(follower.follower, client=LdapClient(settings))
    await failing.run_pass()
    await failing.run_pass()
    (report,) = reports.list_syncs(follower.state)
    assert (report.state, "the name or the password" in str(report.failure)) == (SyncState.FAILED, True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"password": "wrong"}, "does not know the name or the password"),
        ({"ca_file": None}, "cannot be encrypted"),
        ({"user_base": f"ou=none,{PEOPLE}"}, "has no entry"),
        ({"url": f"ldap://{HOST}:1"}, "does not answer"),
    ],
)
def test_a_failure_says_what_would_do_in_words_of_ours(ldap: LdapServer, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(LdapUnavailable, match=message) as caught:
        LdapClient(build_settings(ldap, **changes)).read(None)
    assert PASSWORD not in str(caught.value)


def test_a_server_follows_the_directory_of_its_settings(ldap: LdapServer, tmp_path: Path) -> None:
    ldap.add_group("acme-support", ldap.add_person("ann"))
    section = (
        f'[directory.ldap]\nurl = "ldap://{HOST}:{ldap.port}"\nbind_dn = "{ADMINISTRATOR}"\n'
        f'password = {{ env = "LDAP_PASSWORD" }}\nuser_base = "{PEOPLE}"\ngroup_base = "{GROUPS}"\n'
        f'ca_file = "{ldap.certificate}"\ninterval_seconds = 0.2\n'
    )
    environment = {"LDAP_PASSWORD": PASSWORD}
    with run_company(tmp_path / "company", settings=SETTINGS + section, environment=environment) as server:
        deadline = time.monotonic() + 60
        while "support" not in {group for user in users.list_users(server.state) for group in user.groups}:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert server.groups_of("ann") == {"everyone": "local", "support": "ldap"}


def test_the_password_is_sent_encrypted_or_not_at_all(ldap: LdapServer) -> None:
    with pytest.raises(ConfigurationError, match="unencrypted"):
        LdapClient(build_settings(ldap, url="ldap://directory.acme.example", start_tls=False))
    with pytest.raises(ConfigurationError, match=r"`directory\.ldap\.url` is no address"):
        LdapClient(build_settings(ldap, url="https://directory.acme.example"))
    assert LdapClient(build_settings(ldap, url=f"ldaps://{HOST}:{ldap.tls_port}")).read(None).is_whole
