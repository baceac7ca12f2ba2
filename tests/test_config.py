"""Load onedoor.toml, and report what is wrong in it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from onedoor.audit.settings import RecordsSettings
from onedoor.config import (
    ExportsSettings,
    IntrospectionMode,
    SchemaSettings,
    ServerSettings,
    Settings,
    SourceSettings,
    StateSettings,
    load_settings,
    parse_options,
)
from onedoor.errors import ConfigurationError
from onedoor.http.persisted_documents import PersistedDocumentSettings
from onedoor.jobs.models import JobSettings
from onedoor.model.catalog import Limits
from onedoor.runtime.budgets import BudgetLimits, BudgetSettings
from onedoor.runtime.row_cache import CacheSettings
from onedoor.schema.builtin import BuiltinAccess

PEPPER = "a pepper of at least thirty-two characters"
ENVIRONMENT = {
    "ONEDOOR_PEPPER": PEPPER,
    "WAREHOUSE": "postgresql://reader:hunter2@host/db",
    "EMPTY": "",
    "SHORT": "x",
    "REDIS": "redis://:hunter2@host/0",
}

EVERYTHING = """
[server]
host = "0.0.0.0"
port = 8080
introspection = "own"
origins = ["https://portal.acme.example"]

[limits]
first_default = 5
request_seconds = 2

[state]
url = "sqlite:///state/onedoor.sqlite"
pepper = { env = "ONEDOOR_PEPPER" }

[records]
folder = "kept"

[sources.warehouse]
kind = "postgresql"
url = { env = "WAREHOUSE" }
pool = 4

[sources.warehouse.fresh]
orders = 30
"public.items" = 0.5

[sources.warehouse.quota]
reads = 600

[cache]
url = { env = "REDIS" }
entries = 50

[documents]
folder = "documents"
trusted_only = true
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Options of a source that there is not."""

    url: str
    pool: int = 2
    seconds: float = 1.0
    quiet: bool = False
    region: str | None = None
    root: Path = Path("shelf")
    names: tuple[str, ...] = ()
    password: str = field(default="", repr=False)


def settings(folder: Path, text: str) -> Settings:
    path = folder / "onedoor.toml"
    path.write_text(text)
    return load_settings(path, ENVIRONMENT)


def test_an_empty_file_gives_every_default(tmp_path: Path) -> None:
    assert settings(tmp_path, "") == Settings(
        server=ServerSettings(host="127.0.0.1", port=8000, introspection=IntrospectionMode.FULL, origins=()),
        limits=Limits(
            first_default=20, first_max=1_000, in_max=1_000, document_tokens=5_000, body_bytes=1_048_576,
            request_seconds=10.0, errors_max=100,
        ),
        state=StateSettings(url=f"sqlite:///{tmp_path}/onedoor.sqlite", pepper=PEPPER),
        records=RecordsSettings(folder=tmp_path / "records/journal"),
        cache=CacheSettings(url=None, entries=10_000, bytes=67_108_864, seconds=0.1),
        documents=PersistedDocumentSettings(
            folder=None, manifest=None, trusted_only=False, automatic=1000, automatic_bytes=4_194_304
        ),
        exports=ExportsSettings(enabled=False, folder=tmp_path / "exported"),
        jobs=JobSettings(url=None, here=True, at_once=4, lease_seconds=10.0),
        sources={},
    )  # fmt: skip


def test_budgets_are_read_by_key_service_and_group(tmp_path: Path) -> None:
    text = "[budgets.keys]\nseconds = 2\n[budgets.services.sales]\nrequests = 6\n[budgets.groups.finance]\nrows = 9"
    assert settings(tmp_path, text).budgets == BudgetSettings(
        keys=BudgetLimits(seconds=2.0),
        services={"sales": BudgetLimits(requests=6)},
        groups={"finance": BudgetLimits(rows=9)},
    )


def test_all_that_is_written_is_read(tmp_path: Path) -> None:
    assert settings(tmp_path, EVERYTHING) == Settings(
        server=ServerSettings(
            host="0.0.0.0", port=8080, introspection=IntrospectionMode.OWN, origins=("https://portal.acme.example",)
        ),
        limits=Limits(first_default=5, request_seconds=2.0),
        state=StateSettings(url=f"sqlite:///{tmp_path}/state/onedoor.sqlite", pepper=PEPPER),
        records=RecordsSettings(folder=tmp_path / "kept"),
        cache=CacheSettings(url="redis://:hunter2@host/0", entries=50),
        documents=PersistedDocumentSettings(folder=tmp_path / "documents", trusted_only=True),
        exports=ExportsSettings(enabled=False, folder=tmp_path / "exported"),
        jobs=JobSettings(),
        sources={
            "warehouse": SourceSettings(
                name="warehouse", kind="postgresql", folder=tmp_path,
                options={"url": "postgresql://reader:hunter2@host/db", "pool": 4},
                fresh={"orders": 30, "public.items": 0.5}, quota={"reads": 600},
            )
        },
    )  # fmt: skip


def test_settings_shown_by_accident_show_no_secret(tmp_path: Path) -> None:
    shown = repr(settings(tmp_path, EVERYTHING))
    assert PEPPER not in shown
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[limit]", "there is no section `limit`: did you mean `limits`"),
        ("[zzz]", "there is no section `zzz`: there are `budgets`, `cache`, `directory`, `documents`, `exports`, "
         "`jobs`, `limits`, `records`, `schema`, `server`, `sources`, `state`"),
        ("[schema.buildin.me]", "there is no section `schema.buildin`: did you mean `schema.builtin`"),
        ("[schema.builtin.mee]", "there is no section `schema.builtin.mee`: did you mean `schema.builtin.me`"),
        ('[schema.builtin.me]\nownr = "x"',
         "there is no setting `schema.builtin.me.ownr`: did you mean `schema.builtin.me.owner`"),
        ("[limits]\nfirst_maxx = 1", "there is no setting `limits.first_maxx`: did you mean `limits.first_max`"),
        ("limits = 1", "`limits` must be a section: write `[limits]`"),
        ('[limits]\nfirst_max = "1"', "`limits.first_max` must be a whole number"),
        ("[limits]\nfirst_max = true", "`limits.first_max` must be a whole number"),
        ("[limits]\nfirst_max = 1.0", "`limits.first_max` must be a whole number"),
        ("[limits]\nrequest_seconds = true", "`limits.request_seconds` must be a number"),
        ("[limits]\nfirst_max = 0", "`limits.first_max` must be more than 0"),
        ("[limits]\nrequest_seconds = nan", "`limits.request_seconds` must be more than 0"),
        ("[limits]\nfirst_max = 10", "`limits.first_default` must not be more than `limits.first_max`"),
        ("[server]\nport = 70000", "`server.port` must be from 0 to 65535"),
        ("[server]\nhost = 1", "`server.host` must be text"),
        ('[server]\nintrospection = "none"', "`server.introspection` must be one of `full`, `own`"),
        ('[server]\norigins = "https://a"', "`server.origins` must be a list of texts"),
        ("[records]\nfolder = 1", "`records.folder` must be a path"),
        (f'[state]\npepper = "{PEPPER}"',
         '`state.pepper` holds a secret: write `{ env = "NAME" }` and set that environment variable'),
        ('[sources.a]\nkind = "x"\ndatabase_password = "hunter2"',
         '`sources.a.database_password` holds a secret: write `{ env = "NAME" }` and set that environment variable'),
        ('[sources.a]\nkind = "x"\nurl = "postgresql://u:hunter2@h/d"',
         '`sources.a.url` holds a secret: write `{ env = "NAME" }` and set that environment variable'),
        ('[sources.a]\nkind = "x"\ndeep = { api_token = "hunter2" }',
         '`sources.a.deep.api_token` holds a secret: write `{ env = "NAME" }` and set that environment variable'),
        ('[state]\npepper = { env = "ABSENT" }',
         "`state.pepper` is taken from the environment variable `ABSENT`, which is not set"),
        ('[state]\npepper = { env = "EMPTY" }',
         "`state.pepper` is taken from the environment variable `EMPTY`, which is not set"),
        ('[state]\npepper = { env = "SHORT" }',
         "`state.pepper` is too short: take at least 32 random characters"),
        ("[sources.a]", "`sources.a.kind` is missing"),
        ('[sources.a]\nkind = "s3"\nfresh = 3', "`sources.a.fresh` must be a section: write `[sources.a.fresh]`"),
        ('[sources.a]\nkind = "s3"\nfresh.b = -1', "`sources.a.fresh.b` must be a number, 0 or more"),
        ('[sources.a]\nkind = "s3"\nfresh.b = true', "`sources.a.fresh.b` must be a number, 0 or more"),
        ('[sources.a]\nkind = "s3"\nquota.reads = 1.5', "`sources.a.quota.reads` must be a whole number"),
        ("[cache]\nentries = 0", "`cache.entries` must be more than 0"),
        ('[cache]\nurl = "redis://:pass@host"',
         '`cache.url` holds a secret: write `{ env = "NAME" }` and set that environment variable'),
        ("[documents]\nautomatic = -1", "`documents.automatic` must not be less than 0"),
        ("[documents]\ntrusted_only = true",
         "`documents.trusted_only` needs `documents.folder` or `documents.manifest`"),
        ("[budgets]\nprocesses = 0", "`budgets.processes` must be more than 0"),
        ("[budgets.keys]\nrows = 0",
         "`budgets.keys.rows` must be more than 0 and at most 1,000,000,000,000: leave it out for no budget"),
        ("[budgets.groups.sales]\nrow = 1",
         "there is no setting `budgets.groups.sales.row`: did you mean `budgets.groups.sales.rows`"),
        ("[budgets.services]\nsales = 1", "`budgets.services.sales` must be a section: write "
         "`[budgets.services.sales]`"),
        ("[directory.scim]", "`directory.scim.token` is missing"),
        ('[directory.scim]\ntoken = "a secret"',
         '`directory.scim.token` holds a secret: write `{ env = "NAME" }` and set that environment variable'),
        ("[directory]\nscim = 1", "`directory.scim` must be a section: write `[directory.scim]`"),
        ("[directory]\nremoved_people = 0", "`directory.removed_people` must be more than 0"),
        ("[directory]\nremoved_percent = 101", "`directory.removed_percent` must be from 1 to 100"),
        ("[sources]\na = 1", "`sources.a` must be a section: write `[sources.a]`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence_that_names_it(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(tmp_path, text)
    assert str(caught.value) == message


def test_exports_are_on_where_their_section_stands(tmp_path: Path) -> None:
    assert [settings(tmp_path, text).exports.enabled for text in ("", "[exports]", "[exports]\nenabled = false")] == [
        False, True, False,
    ]  # fmt: skip


def test_built_in_types_have_the_owner_and_groups_that_a_company_sets(tmp_path: Path) -> None:
    text = '[schema.builtin.requests]\nowner = "legal"\nallow = ["audit", "legal"]\n'
    assert settings(tmp_path, text).schema == SchemaSettings(
        builtin={"requests": BuiltinAccess(owner="legal", allow=("audit", "legal"))}
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("picks_max", "fields_max"),
        ("keys_carried", "cross_source_keys_max"),
        ("init_seconds", "connection_init_timeout"),
    ],
)
def test_an_old_name_of_a_setting_is_taken_with_a_warning_that_names_the_new(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, old: str, new: str
) -> None:
    assert getattr(settings(tmp_path, f"[limits]\n{old} = 7").limits, new) == 7
    assert caplog.messages == [f"the setting `limits.{old}` is now called `limits.{new}`: rename it"]


def test_a_setting_is_not_written_under_both_names(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(tmp_path, "[limits]\npicks_max = 7\nfields_max = 8")
    assert str(caught.value) == "`limits.picks_max` is the old name of `limits.fields_max`: write one of them"


def test_a_table_with_one_entry_called_file_is_no_secret(tmp_path: Path) -> None:
    read = settings(tmp_path, '[sources.a]\nkind = "x"\nversions.file = "revision"')
    assert read.sources["a"].options == {"versions": {"file": "revision"}}


def test_a_setting_is_a_secret_by_its_place_and_not_as_a_column_is_called(tmp_path: Path) -> None:
    collection = '[sources.a]\nkind = "x"\n[sources.a.collections."api.v1.items"]\n'
    columns = 'columns.token = "text"\nfilters.token = "token"\nwrites.create.columns.secret = "the.secret"\n'
    read = settings(tmp_path, collection + columns)
    assert read.sources["a"].options["collections"]["api.v1.items"]["columns"] == {"token": "text"}
    with pytest.raises(ConfigurationError, match="holds a secret"):
        settings(tmp_path, collection + 'writes.create.fixed.token = "hunter2"')


def test_a_secret_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "pepper").write_text(f"{PEPPER}\n")
    assert settings(tmp_path, '[state]\npepper = { file = "pepper" }').state.pepper == PEPPER


@pytest.mark.parametrize(
    "text",
    ['[state]\nurl = "sqlite:///old.sqlite"', '[sources.shop]\nkind = "sqlite"\npath = "old.sqlite"'],
    ids=["a url", "a path"],
)
def test_a_path_is_relative_to_the_settings_and_no_empty_file_takes_an_older_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    folder, earlier = tmp_path / "settings", tmp_path / "earlier"
    for item in (folder, earlier):
        item.mkdir()
    (earlier / "old.sqlite").touch()
    monkeypatch.chdir(earlier)
    with pytest.raises(ConfigurationError) as caught:
        settings(folder, text)
    where = "state.url" if "state" in text else "sources.shop.path"
    assert str(caught.value) == (
        f"`{where}`: `{folder}/old.sqlite` is not there, but `{earlier}/old.sqlite` is: a path is relative to the file"
        " of settings, so move the file or write the whole path"
    )
    (folder / "old.sqlite").touch()
    read = settings(folder, text)
    assert str(folder / "old.sqlite") in str(
        read.state.url if "state" in text else read.sources["shop"].options["path"]
    )


@pytest.mark.parametrize(("text", "message"), [("[", "is no TOML: "), ("\udcff", "is no TOML: ")])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "onedoor.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigurationError, match=message):
        load_settings(path, ENVIRONMENT)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^there are no settings at `.*/onedoor.toml`: name another file"):
        load_settings(tmp_path / "onedoor.toml", ENVIRONMENT)


@pytest.mark.parametrize(
    ("url", "settled"),
    [
        ("sqlite:///a.sqlite", "sqlite:///{folder}/a.sqlite"),
        ("sqlite:////a.sqlite", "sqlite:////a.sqlite"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("https://acme.example/a", "https://acme.example/a"),
        ("not: a url @ all", "not: a url @ all"),
    ],
)
def test_only_sqlite_urls_are_relative_to_the_file(tmp_path: Path, url: str, settled: str) -> None:
    a = settings(tmp_path, f'[sources.a]\nkind = "x"\nurl = "{url}"').sources["a"]
    assert a.options["url"] == settled.format(folder=tmp_path)


def test_options_are_built_from_the_settings_of_a_source(tmp_path: Path) -> None:
    result: dict[str, Any] = {"url": "u", "seconds": 3, "quiet": True, "region": "eu", "root": "r", "names": ["a"]}
    assert parse_options(Shelf, result, "sources.shelf", tmp_path) == Shelf(
        url="u", pool=2, seconds=3.0, quiet=True, region="eu", root=tmp_path / "r", names=("a",)
    )


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({}, "`sources.shelf.url` is missing"),
        ({"url": "u", "pol": 1}, "there is no setting `sources.shelf.pol`: did you mean `sources.shelf.pool`"),
        ({"url": "u", "region": 1}, "`sources.shelf.region` must be text"),
        ({"url": "u", "quiet": 1}, "`sources.shelf.quiet` must be true or false"),
    ],
)
def test_options_are_checked_as_settings_are(told: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_options(Shelf, told, "sources.shelf")
    assert str(caught.value) == message
