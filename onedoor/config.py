"""Load onedoor.toml: every name known, every type right, no secret in it."""

import logging
import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from auth.directory.settings import DirectorySettings
from onedoor.audit.settings import RecordsSettings
from onedoor.errors import ConfigurationError, build_unknown_name_error
from onedoor.http.persisted_documents import PersistedDocumentSettings
from onedoor.jobs.models import JobSettings
from onedoor.model.catalog import Limits
from onedoor.runtime.budgets import BudgetLimits, BudgetSettings
from onedoor.runtime.row_cache import CacheSettings, MaxAges
from onedoor.schema.builtin import BUILTIN_MODULES, BuiltinAccess
from onedoor.storage.private_files import warn_of_readable_secret

log = logging.getLogger("onedoor")

SECRET_SUFFIXES = (
    "password", "passphrase", "token", "secret", "secret_key", "access_key", "private_key", "pepper",
    "authorization", "cookie", "api_key", "api-key",
    "account_key",
)  # fmt: skip
"""A setting with one of these names, or a name that ends in one, is never written in the file."""

COLUMN_SETTING = re.compile(r"sources\.[^.]+\.collections\..+\.(?:columns|keys|filters|only)\.[^.]+")
"""A setting of a declared collection that is called as a column is: what stands there is a type or a name."""

PEPPER_CHARACTERS_MIN = 32

KEEP_DAYS_MIN = 30
"""So long a client may come again with the idempotency key of a change, at the least."""

BUDGET_MAX = 10**12
"""The most of any unit a minute, so that a minute of it can be counted exactly."""


class IntrospectionMode(StrEnum):
    """What the schema tells of itself: `full` to everyone, or to each their `own` view."""

    FULL = "full"
    OWN = "own"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where Onedoor listens. `origins` are the web pages that may call it from a browser."""

    host: str = "127.0.0.1"
    port: int = 8000
    introspection: IntrospectionMode = IntrospectionMode.FULL
    origins: tuple[str, ...] = ()
    sql_shown_to: tuple[str, ...] = ()
    """The groups that see the SQL of a plan: its text, with a mark for each value."""
    federation: bool = False
    """Whether a router of Apollo Federation may compose this schema as a subgraph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSettings:
    """Where users and keys are stored; the pepper keys the digests of their secrets."""

    url: str = field(repr=False)
    pepper: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportsSettings:
    """Whether there are exports, and how long they are stored."""

    enabled: bool = True
    """Whether there are exports; without a section `[exports]` there are none."""
    folder: Path = Path("exported")
    """The folder of exports, made where it is missing; servers and workers share it."""
    kept_days: float = 30.0
    """How long an export is stored; older ones are removed as another begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaSettings:
    """What a company sets of the types that are the product's own: `[schema.builtin.<name>]`."""

    builtin: Mapping[str, BuiltinAccess] = field(default_factory=dict)
    has_directory: bool = False
    """Whether a directory is configured, of which there are types then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """One `[sources.<name>]`: its kind, and the rest as it stands there, for the kind's own options.

    Secrets in `options` are already taken from where they are; paths are relative to `folder`.
    """

    name: str
    kind: str
    folder: Path
    options: Mapping[str, Any] = field(repr=False)
    fresh: MaxAges = field(default_factory=dict)
    quota: Mapping[str, int] = field(default_factory=dict)
    """By what is called, calls a minute; 0: any number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything onedoor.toml says, with defaults for what it does not."""

    server: ServerSettings
    limits: Limits
    state: StateSettings
    records: RecordsSettings
    cache: CacheSettings
    documents: PersistedDocumentSettings
    jobs: JobSettings
    exports: ExportsSettings
    directory: DirectorySettings = field(default_factory=DirectorySettings)
    budgets: BudgetSettings = field(default_factory=BudgetSettings)
    schema: SchemaSettings = field(default_factory=SchemaSettings)
    sources: Mapping[str, SourceSettings]


OptionsType = TypeVar("OptionsType")

SECTIONS = {
    "server": ServerSettings,
    "limits": Limits,
    "state": StateSettings,
    "records": RecordsSettings,
    "cache": CacheSettings,
    "documents": PersistedDocumentSettings,
    "jobs": JobSettings,
    "exports": ExportsSettings,
    "directory": DirectorySettings,
    "budgets": BudgetSettings,
}

OLD_NAMES = {
    "limits.picks_max": "fields_max",
    "limits.keys_carried": "cross_source_keys_max",
    "limits.init_seconds": "connection_init_timeout",
}
"""Settings as the release before called them, each with its name now."""

STATE_DEFAULTS = {"url": "sqlite:///onedoor.sqlite", "pepper": {"env": "ONEDOOR_PEPPER"}}

TYPE_DESCRIPTIONS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}


def load_settings(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read a file of settings. Raises ConfigurationError, naming the setting, for the first thing that is wrong."""
    written = read_toml(path)
    sources = written.pop("sources", {})
    schema = parse_schema_settings(written.pop("schema", {}), written.get("directory"))
    for name in written:
        if name not in SECTIONS:
            raise build_unknown_name_error("section", name, (*SECTIONS, "schema", "sources"))
    written.setdefault("exports", {"enabled": False})
    folder = path.absolute().parent
    written["state"] = {**STATE_DEFAULTS, **require_table(written.get("state", {}), "state")}
    known: dict[str, Any] = {
        name: parse_options(section, resolve_values(written.get(name, {}), name, folder, environment), name, folder)
        for name, section in SECTIONS.items()
    }
    known["budgets"] = parse_budget_tables(known["budgets"])
    kinds = {
        name: parse_source(name, resolve_values(table, f"sources.{name}", folder, environment), folder)
        for name, table in require_table(sources, "sources").items()
    }
    return validate_settings(Settings(**known, schema=schema, sources=kinds))


@dataclass(frozen=True, slots=True, kw_only=True)
class AdministrationSettings:
    """Where users, groups and keys are, and where what is done to them is recorded."""

    state: StateSettings
    records_folder: Path
    directory_address: str
    """Where people reach Onedoor to claim their keys."""


def load_administration_settings(path: Path, environment: Mapping[str, str] = os.environ) -> AdministrationSettings:
    """Read what administration takes: of all secrets those of the metadata database alone, not those of the sources.

    Raises ConfigurationError, naming the setting.
    """
    written, folder = read_toml(path), path.absolute().parent
    written["state"] = {**STATE_DEFAULTS, **require_table(written.get("state", {}), "state")}
    records = require_table(written.get("records", {}), "records")
    written["records"] = {name: value for name, value in records.items() if name not in ("checkpoints", "shipping")}

    def parse(section: type[OptionsType], name: str) -> OptionsType:
        values = resolve_values(written.get(name, {}), name, folder, environment)
        return parse_options(section, values, name, folder)

    directory = require_table(written.get("directory", {}), "directory")
    settings = AdministrationSettings(
        state=parse(StateSettings, "state"),
        records_folder=parse(RecordsSettings, "records").folder,
        directory_address=convert_value(
            directory.get("address", DirectorySettings().address), str, "directory.address", folder
        ),
    )
    require_long_pepper(settings.state)
    return settings


def load_records_settings(path: Path, environment: Mapping[str, str] = os.environ) -> RecordsSettings:
    """Read where the audit log is and what seals it, for who only reads it: a private key that is not set is left out.

    Raises ConfigurationError, naming the setting.
    """
    values = dict(require_table(read_toml(path).get("records", {}), "records"))
    checkpoints = dict(require_table(values.get("checkpoints", {}), "records.checkpoints"))
    match checkpoints.get("private_key"):
        case {"env": str(name)} if not environment.get(name):
            del checkpoints["private_key"]
        case {"file": str(name)} if not os.access(path.absolute().parent / name, os.R_OK):
            del checkpoints["private_key"]
    if "checkpoints" in values:
        values["checkpoints"] = checkpoints
    folder = path.absolute().parent
    return parse_options(RecordsSettings, resolve_values(values, "records", folder, environment), "records", folder)


def load_schema_settings(path: Path) -> tuple[SchemaSettings, bool]:
    """Read what the schema depends on, and no secret: the built-in types' access, and whether exports are on.

    Of a file that does not exist it is the defaults.
    """
    written = read_toml(path) if path.exists() else {}
    exports = require_table(written.get("exports", {"enabled": False}), "exports")
    return parse_schema_settings(written.get("schema", {}), written.get("directory")), bool(
        exports.get("enabled", True)
    )


def parse_schema_settings(values: Any, directory: Any = None) -> SchemaSettings:
    """Check the settings of built-in types, and look whether `directory` has a section.

    Raises ConfigurationError, naming the setting, for an unknown type.
    """
    for name in require_table(values, "schema"):
        if name != "builtin":
            raise build_unknown_name_error("section", f"schema.{name}", ("schema.builtin",))
    builtin = require_table(values.get("builtin", {}), "schema.builtin")
    for name in builtin:
        if name not in BUILTIN_MODULES:
            raise build_unknown_name_error("section", f"schema.builtin.{name}", _list_builtin_sections())
    return SchemaSettings(
        builtin={
            name: parse_options(BuiltinAccess, table, f"schema.builtin.{name}") for name, table in builtin.items()
        },
        has_directory=any(isinstance(part, Mapping) for part in require_table(directory or {}, "directory").values()),
    )


def _list_builtin_sections() -> list[str]:
    return [f"schema.builtin.{name}" for name in BUILTIN_MODULES]


def parse_options(
    options_type: type[OptionsType], values: Mapping[str, Any], where: str, folder: Path = Path()
) -> OptionsType:
    """Make a frozen dataclass of a table of the file: `where` is its name, `folder` what paths are relative to.

    Fields may be text, whole numbers, numbers, booleans, paths, StrEnums, tuples of text, or one of these or None; a
    dataclass or None is a section, and a Mapping one whose parts its reader checks. Raises ConfigurationError.
    """
    types = get_type_hints(options_type)
    values = rename_old_settings(require_table(values, where), where)
    known = {option.name: option for option in fields(options_type)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise build_unknown_name_error("setting", f"{where}.{name}", (f"{where}.{option}" for option in known))
    for name, option in known.items():
        if name not in values and option.default is MISSING and option.default_factory is MISSING:
            raise ConfigurationError(f"`{where}.{name}` is missing")
    converted = {name: convert_value(value, types[name], f"{where}.{name}", folder) for name, value in values.items()}
    defaults = {name: folder / option.default for name, option in known.items() if isinstance(option.default, Path)}
    return options_type(**{**defaults, **converted})


def rename_old_settings(values: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Accept settings under the names of the release before, with a warning that names the new ones."""
    renamed: dict[str, Any] = {}
    for name, value in values.items():
        new = OLD_NAMES.get(f"{where}.{name}", name)
        if new != name:
            log.warning("the setting `%s.%s` is now called `%s.%s`: rename it", where, name, where, new)
        if new in renamed or (new != name and new in values):
            raise ConfigurationError(f"`{where}.{name}` is the old name of `{where}.{new}`: write one of them")
        renamed[new] = value
    return renamed


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as reason:
        raise ConfigurationError(
            f"there are no settings at `{path}`: name another file with `--config`, "
            "or begin a company with `python -m onedoor new FOLDER`"
        ) from reason
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as reason:
        raise ConfigurationError(f"`{path}` is no TOML: {reason}") from reason


def require_table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"`{where}` must be a section: write `[{where}]`")
    return value


def resolve_values(values: Any, where: str, folder: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return a table with its secrets in place and its SQLite URLs absolute."""
    return {
        name: resolve_value(value, f"{where}.{name}", folder, environment)
        for name, value in require_table(values, where).items()
    }


def resolve_value(value: Any, where: str, folder: Path, environment: Mapping[str, str]) -> Any:
    match value:
        case {"env": str(name), **rest} if not rest:
            return resolve_sqlite_url(read_environment(name, where, environment), folder, where)
        case {"file": str(name), **rest} if not rest and is_secret_name(where):
            return resolve_sqlite_url(read_secret_file(folder / name, where), folder, where)
        case Mapping():
            return resolve_values(value, where, folder, environment)
        case str():
            return resolve_sqlite_url(require_no_secret(value, where), folder, where)
        case _:
            return value


def read_environment(name: str, where: str, environment: Mapping[str, str]) -> str:
    value = environment.get(name, "")
    if not value:
        raise ConfigurationError(f"`{where}` is taken from the environment variable `{name}`, which is not set")
    return value


def read_secret_file(path: Path, where: str) -> str:
    try:
        value = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as reason:
        raise ConfigurationError(f"`{where}` is taken from the file `{path}`, which cannot be read") from reason
    if not value:
        raise ConfigurationError(f"`{where}` is taken from the file `{path}`, which is empty")
    warn_of_readable_secret(path, where)
    return value


def is_secret_name(where: str) -> bool:
    """Say whether a setting of this name holds a secret; the name of a column says nothing of the setting."""
    if COLUMN_SETTING.fullmatch(where):
        return False
    return where.rsplit(".", 1)[-1].lower().endswith(SECRET_SUFFIXES)


def require_no_secret(value: str, where: str) -> str:
    """Return a text as it stands in the file. Raises ConfigurationError where it is a secret, or holds one."""
    if is_secret_name(where) or (":" in value and "@" in value and urlsplit(value).password):
        raise ConfigurationError(
            f'`{where}` holds a secret: write `{{ env = "NAME" }}` and set that environment variable'
        )
    return value


def resolve_sqlite_url(value: str, folder: Path, where: str) -> str:
    """Make the path of an SQLite URL relative to the file of settings, wherever the process was started."""
    scheme, _, path = value.partition(":///")
    if not scheme.startswith("sqlite") or path in ("", ":memory:"):
        return value
    return f"{scheme}:///{resolve_sqlite_path(path, folder, where)}"


def resolve_sqlite_path(path: str, folder: Path, where: str) -> Path:
    """Return a path of an SQLite file, relative to the file of settings.

    Raises ConfigurationError where the file is missing there but present in the working directory, where releases
    before this one looked for it: an empty one beside it would know no key.
    """
    resolved, earlier = folder / path, Path.cwd() / path
    if not resolved.exists() and earlier.exists():
        raise ConfigurationError(
            f"`{where}`: `{resolved}` is not there, but `{earlier}` is: a path is relative to the file of settings, so"
            " move the file or write the whole path"
        )
    return resolved


def convert_value(value: Any, field_type: Any, where: str, folder: Path) -> Any:
    """Return a value of TOML as the type of a field. Raises ConfigurationError where it is of another."""
    options = get_args(field_type)
    kind = next(option for option in options if option is not NoneType) if NoneType in options else field_type
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return convert_enum(value, kind, where)
    if isinstance(kind, type) and is_dataclass(kind):
        return parse_options(kind, require_table(value, where), where, folder)
    if get_origin(kind) is Mapping:
        return require_table(value, where)
    if get_args(kind) == (str, ...):
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ConfigurationError(f"`{where}` must be a list of texts")
        return tuple(value)
    if kind is Path and isinstance(value, str):
        return folder / value
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ConfigurationError(f"`{where}` must be {TYPE_DESCRIPTIONS[kind]}")
    return value


def convert_enum(value: Any, kind: type[StrEnum], where: str) -> StrEnum:
    if value not in list(kind):
        raise ConfigurationError(f"`{where}` must be one of " + ", ".join(f"`{member}`" for member in kind))
    return kind(value)


COMMON_SOURCE_OPTIONS = frozenset({"kind", "fresh", "quota"})


def parse_source(name: str, values: Mapping[str, Any], folder: Path) -> SourceSettings:
    """Separate what every source has from the options of its kind. Raises ConfigurationError."""
    kind = values.get("kind")
    if not isinstance(kind, str):
        raise ConfigurationError(f"`sources.{name}.kind` is missing")
    options = {option: value for option, value in values.items() if option not in COMMON_SOURCE_OPTIONS}
    if kind == "sqlite" and isinstance(options.get("path"), str):
        options["path"] = str(resolve_sqlite_path(options["path"], folder, f"sources.{name}.path"))
    fresh = parse_numbers(values.get("fresh", {}), f"sources.{name}.fresh")
    quota = parse_numbers(values.get("quota", {}), f"sources.{name}.quota")
    for call, per_minute in quota.items():
        if type(per_minute) is not int:
            raise ConfigurationError(f"`sources.{name}.quota.{call}` must be a whole number")
    return SourceSettings(
        name=name, kind=kind, folder=folder, options=options, fresh=fresh, quota={n: int(q) for n, q in quota.items()}
    )


def parse_budget_tables(budgets: BudgetSettings) -> BudgetSettings:
    """Return the budgets with those of groups and of services, which a group owns. Raises ConfigurationError."""
    written: Mapping[str, Mapping[str, Any]] = {"services": budgets.services, "groups": budgets.groups}
    services, groups = (
        {group: parse_options(BudgetLimits, limits, f"budgets.{name}.{group}") for group, limits in table.items()}
        for name, table in written.items()
    )
    return replace(budgets, services=services, groups=groups)


def parse_numbers(values: Any, where: str) -> dict[str, float]:
    """Return a table of numbers. Raises ConfigurationError for what is none, or below 0."""
    for name, value in require_table(values, where).items():
        if type(value) not in (int, float) or not 0 <= value < math.inf:
            raise ConfigurationError(f"`{where}.{name}` must be a number, 0 or more")
    return dict(values)


def validate_settings(settings: Settings) -> Settings:
    """Return the settings. Raises ConfigurationError for numbers that no request could meet."""
    for limit in fields(settings.limits):
        if not getattr(settings.limits, limit.name) > 0:  # so that nan is refused too
            raise ConfigurationError(f"`limits.{limit.name}` must be more than 0")
    if settings.limits.first_default > settings.limits.first_max:
        raise ConfigurationError("`limits.first_default` must not be more than `limits.first_max`")
    for name in ("entries", "bytes", "seconds"):
        if not getattr(settings.cache, name) > 0:
            raise ConfigurationError(f"`cache.{name}` must be more than 0")
    for name in ("at_once", "lease_seconds", "poll_seconds", "lines", "line_characters", "open_most", "kept_days"):
        if not getattr(settings.jobs, name) > 0:
            raise ConfigurationError(f"`jobs.{name}` must be more than 0")
    if not settings.directory.removed_people > 0:
        raise ConfigurationError("`directory.removed_people` must be more than 0")
    if not 1 <= settings.directory.removed_percent <= 100:
        raise ConfigurationError("`directory.removed_percent` must be from 1 to 100")
    check_budgets(settings.budgets)
    if settings.directory.scim is not None and not settings.directory.scim.requests_a_minute > 0:
        raise ConfigurationError("`directory.scim.requests_a_minute` must be more than 0")
    if settings.directory.ldap is not None:
        for name in ("interval_seconds", "compare_seconds", "page_size", "timeout_seconds"):
            if not getattr(settings.directory.ldap, name) > 0:
                raise ConfigurationError(f"`directory.ldap.{name}` must be more than 0")
    for name in ("rotate_bytes", "rotate_hours"):
        if not getattr(settings.records, name) > 0:
            raise ConfigurationError(f"`records.{name}` must be more than 0")
    if settings.records.keep_days is not None and not settings.records.keep_days >= KEEP_DAYS_MIN:
        raise ConfigurationError(f"`records.keep_days` must be {KEEP_DAYS_MIN} or more")
    if not settings.exports.kept_days > 1:
        raise ConfigurationError("`exports.kept_days` must be more than 1")
    for name in ("automatic", "automatic_bytes"):
        if getattr(settings.documents, name) < 0:
            raise ConfigurationError(f"`documents.{name}` must not be less than 0")
    if settings.documents.trusted_only and not (settings.documents.folder or settings.documents.manifest):
        raise ConfigurationError("`documents.trusted_only` needs `documents.folder` or `documents.manifest`")
    if not 0 <= settings.server.port <= 65_535:
        raise ConfigurationError("`server.port` must be from 0 to 65535")
    require_long_pepper(settings.state)
    return settings


def check_budgets(budgets: BudgetSettings) -> None:
    """Raise ConfigurationError for a budget under which no request could be served."""
    if not budgets.processes > 0:
        raise ConfigurationError("`budgets.processes` must be more than 0")
    tables = {
        "keys": budgets.keys or BudgetLimits(),
        **{f"services.{group}": table for group, table in budgets.services.items()},
        **{f"groups.{group}": table for group, table in budgets.groups.items()},
    }
    for name, table in tables.items():
        for unit in fields(table):
            value = getattr(table, unit.name)
            if value is not None and not 0 < value <= BUDGET_MAX:
                limits = f"more than 0 and at most {BUDGET_MAX:,}: leave it out for no budget"
                raise ConfigurationError(f"`budgets.{name}.{unit.name}` must be {limits}")


def require_long_pepper(state: StateSettings) -> None:
    """Raise ConfigurationError for a pepper that could be guessed."""
    if len(state.pepper) < PEPPER_CHARACTERS_MIN:
        raise ConfigurationError(
            f"`state.pepper` is too short: take at least {PEPPER_CHARACTERS_MIN} random characters"
        )
