"""Each reason for which a server does not start is one sentence."""

import tempfile
from pathlib import Path

import pytest

from auth import api_keys, users
from onedoor.app import is_loopback, open_app
from onedoor.config import Settings, load_settings
from onedoor.errors import ConfigurationError
from onedoor.storage.database import open_database
from tests import acme
from tests.audit.sealed_logs import PRIVATE_KEY

PEPPER = "a pepper of thirty-two characters"

MISTAKES = {
    "an unknown kind": (
        '[sources.internal]\nkind = "sqlit"\n',
        "there is no kind of source `sqlit`: did you mean `sqlite`",
    ),
    "an unknown option": (
        '[sources.internal]\nkind = "sqlite"\npaht = "x"\n',
        "there is no setting `sources.internal.paht`: did you mean `sources.internal.path`",
    ),
    "a missing file": (
        '[sources.internal]\nkind = "sqlite"\npath = "nowhere.sqlite"\n',
        "the source `internal` cannot be opened: there is no SQLite database at `nowhere.sqlite`",
    ),
    "a source nobody named": (
        "",
        "`AzureFile` is bound to the source `azure_files`, which no setting names: "
        "add `[sources.azure_files]`, or take the mapping out of resolvers/",
    ),
}


def settings(folder: Path, more: str, host: str = "127.0.0.1") -> Settings:
    (folder / "records").mkdir(exist_ok=True)
    text = f'[server]\nhost = "{host}"\n[state]\nurl = "sqlite:///state.sqlite"\n[records]\nfolder = "records"\n{more}'
    (folder / "onedoor.toml").write_text(text)
    return load_settings(folder / "onedoor.toml", {"ONEDOOR_PEPPER": PEPPER, "CHECKPOINT_KEY": PRIVATE_KEY})


@pytest.mark.parametrize(("more", "sentence"), MISTAKES.values(), ids=MISTAKES)
async def test_a_wrong_setting_stops_the_start_with_one_sentence(tmp_path: Path, more: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as mistake:
        async with open_app(settings(tmp_path, more), acme.company()):
            pass
    assert str(mistake.value) == sentence


async def test_keys_of_the_demo_are_refused_by_a_server_that_others_can_reach(tmp_path: Path) -> None:
    state = open_database(f"sqlite:///{tmp_path / 'state.sqlite'}", PEPPER.encode())
    users.create_user(state, first_name="Ada", last_name="Lovelace", email="ada@acme.example")
    api_keys.create_demo_key(state, "ada@acme.example", "finance")
    state.close()
    with pytest.raises(ConfigurationError) as mistake:
        async with open_app(settings(tmp_path, "", host="0.0.0.0"), acme.company()):
            pass
    assert str(mistake.value) == (
        "the state holds keys of the demo, which anyone can make: do not listen on `0.0.0.0` with it"
    )


@pytest.mark.parametrize(
    ("host", "key", "warnings"),
    [
        ("0.0.0.0", "", 1),
        ("127.0.0.1", "", 0),
        ("0.0.0.0", '[records.checkpoints]\nprivate_key = { env = "CHECKPOINT_KEY" }\n', 0),
    ],
)
async def test_a_server_that_others_can_reach_says_once_that_nothing_seals_its_records(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, host: str, key: str, warnings: int
) -> None:
    with pytest.raises(ConfigurationError):  # Acme's sources are not there
        async with open_app(settings(tmp_path, key, host=host), acme.company()):
            pass
    assert len([message for message in caplog.messages if "no checkpoints" in message]) == warnings


async def test_the_start_removes_the_spill_database_of_a_killed_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / "onedoor-scratch-left"
    left.mkdir()
    with pytest.raises(ConfigurationError):
        async with open_app(settings(tmp_path, ""), acme.company()):
            pass
    assert not left.exists()


@pytest.mark.parametrize(
    ("host", "only_here"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("acme", False)],
)
def test_loopback_is_what_only_this_machine_can_come_to(host: str, only_here: bool) -> None:
    assert is_loopback(host) is only_here
