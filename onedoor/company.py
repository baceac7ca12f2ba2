"""Load a company's folder: its groups, types, mappings, mutations and jobs, each found by where its file is."""

import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias, TypeVar

from auth.groups import Groups
from onedoor.config import SchemaSettings
from onedoor.connectors import access, administration, audit_log, directory, grants, principal, uploads
from onedoor.connectors import jobs as job_connector
from onedoor.errors import ConfigurationError
from onedoor.jobs.declarations import Job
from onedoor.jobs.registry import register_jobs
from onedoor.jobs.service import list_job_mutations
from onedoor.model.catalog import Action, SubscriptionSource
from onedoor.model.mapping import TypeMapping
from onedoor.model.reader import list_masking_groups, list_row_rules
from onedoor.model.row_rules import RowRuleTexts
from onedoor.mutations.declarations import MutationDeclaration, RowMutation, Saga
from onedoor.mutations.history import add_history_mappings
from onedoor.query.context import QueryEngine
from onedoor.schema.builtin import load_builtin_module
from onedoor.schema.files import UPLOADS
from onedoor.schema.generate.mutations import CHANGE_KINDS, build_jobs_module
from onedoor.schema.reader import ROOTS, find_schema_parts, read_shapes

PACKAGES = ("schema", "resolvers", "jobs")

GROUPS_FILE = "groups.toml"

OLD_NAMES = {"BINDINGS": "MAPPINGS", "CHANGES": "MUTATIONS", "FEEDS": "SUBSCRIPTIONS"}

OLD_PACKAGES = ("schema.arguments", "schema.directives", "engine", "work", "sources")

UPGRADE_REMEDY = "run `python -m onedoor upgrade` on the company's folder"

ActionBuilder: TypeAlias = Callable[[QueryEngine], Mapping[str, Action]]
"""What a module of resolvers/ calls `build_actions`: by mutation that changes no row, what it does."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """What a company declares. `folder` is where from, so that another process can load it."""

    folder: Path
    groups: Groups
    schema_modules: tuple[ModuleType, ...] = ()
    mappings: tuple[TypeMapping, ...] = ()
    mutations: tuple[MutationDeclaration, ...] = ()
    subscriptions: Mapping[str, SubscriptionSource] = field(default_factory=dict)
    action_builders: tuple[ActionBuilder, ...] = ()
    jobs: tuple[Job, ...] = ()


def find_company_folder(chosen: Path | None, settings_folder: Path) -> Path:
    """Return the folder chosen, or else the first that has schema/: that of the settings, or the working directory.

    Raises ConfigurationError where there is none.
    """
    if chosen is not None:
        if not (chosen / "schema").is_dir():
            raise ConfigurationError(f"`{chosen}` is no company's folder: it has no `schema/`")
        return chosen.absolute()
    for folder in (settings_folder, Path.cwd()):
        if (folder / "schema").is_dir():
            return folder.absolute()
    raise ConfigurationError(
        f"neither `{settings_folder}` nor the working directory has `schema/`: name the company's folder with"
        " `--company`, or make one with `python -m onedoor new FOLDER`"
    )


def load_company(folder: Path) -> Company:
    """Load the modules of schema/, resolvers/ and jobs/, sorted by name, and collect what they declare.

    A module whose name begins with `_` is the company's own affair. One process holds one company. Raises
    ConfigurationError, naming the file, for the first piece that is wrong or missing.
    """
    folder = folder.absolute()
    groups = Groups.load(folder / GROUPS_FILE)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    modules = {package: tuple(_load_package(folder, package)) for package in PACKAGES}
    for module in (*modules["resolvers"], *modules["jobs"]):
        _refuse_old_names(folder, module)
    resolvers = modules["resolvers"]
    mappings = tuple(_collect(folder, resolvers, "MAPPINGS", TypeMapping))
    _require_mapped_once(mappings)
    return Company(
        folder=folder,
        groups=groups,
        schema_modules=modules["schema"],
        mappings=mappings,
        mutations=tuple(_collect(folder, resolvers, "MUTATIONS", RowMutation, Saga)),
        subscriptions=_collect_subscriptions(folder, resolvers),
        action_builders=tuple(module.build_actions for module in resolvers if hasattr(module, "build_actions")),
        jobs=tuple(_collect(folder, modules["jobs"], "JOBS", Job)),
    )


def _load_package(folder: Path, package: str) -> Iterator[ModuleType]:
    if not (folder / package).is_dir():
        if package == "schema":
            raise ConfigurationError(f"`{folder}` is no company's folder: it has no `schema/`")
        return
    _register_package(folder, package)
    for path in sorted((folder / package).glob("*.py")):
        if not path.stem.startswith("_"):
            yield _load_module(folder, f"{package}.{path.stem}")


def _register_package(folder: Path, package: str) -> None:
    """Make `package` the folder of this name here, whatever else on sys.path has the name."""
    path = folder / package
    known = sys.modules.get(package)
    if known is not None:
        if str(path) not in list(known.__path__):
            raise ConfigurationError(
                f"`{package}` was loaded from elsewhere than `{path}`: one process serves one company"
            )
        return
    init = path / "__init__.py"
    spec = spec_from_file_location(package, init, submodule_search_locations=[str(path)]) if init.exists() else None
    if spec is None:
        spec = ModuleSpec(package, None, is_package=True)
        spec.submodule_search_locations = [str(path)]
    module = sys.modules[package] = module_from_spec(spec)
    if spec.loader is not None and init.exists():
        _run(folder, init, lambda: spec.loader.exec_module(module))  # type: ignore[union-attr]


def _load_module(folder: Path, name: str) -> ModuleType:
    path = folder / f"{name.replace('.', '/')}.py"
    module = _run(folder, path, lambda: import_module(name))
    if Path(str(module.__file__)) != path:
        raise ConfigurationError(f"`{name}` was loaded from elsewhere than `{path}`: one process serves one company")
    return module


def _run(folder: Path, path: Path, load: Callable[[], T]) -> T:
    """Run code of the company's; whatever it raises becomes one sentence that names the file and the line."""
    try:
        return load()
    except ConfigurationError:
        raise
    except Exception as reason:
        raise ConfigurationError(_describe_failure(folder, path, reason)) from reason


def _describe_failure(folder: Path, path: Path, reason: Exception) -> str:
    if isinstance(reason, ModuleNotFoundError) and str(reason.name).startswith(OLD_PACKAGES):
        return f"`{_locate(folder, path, reason)}` imports `{reason.name}` of an older release: {UPGRADE_REMEDY}"
    said = reason.msg if isinstance(reason, SyntaxError) else str(reason) or type(reason).__name__
    return f"`{_locate(folder, path, reason)}` cannot be loaded: {said}"


def _locate(folder: Path, path: Path, reason: Exception) -> str:
    """Return the file and the line of the company's code that failed."""
    if isinstance(reason, SyntaxError) and reason.filename:
        path, line = Path(reason.filename), reason.lineno
    else:
        frames = [each for each in traceback.extract_tb(reason.__traceback__) if each.filename.startswith(str(folder))]
        path, line = (Path(frames[-1].filename), frames[-1].lineno) if frames else (path, None)
    name = path.relative_to(folder) if path.is_relative_to(folder) else path
    return f"{name}:{line}" if line else str(name)


def _refuse_old_names(folder: Path, module: ModuleType) -> None:
    for old, new in OLD_NAMES.items():
        if hasattr(module, old):
            raise ConfigurationError(
                f"`{_name_file(folder, module)}` has `{old}`, which is now called `{new}`: {UPGRADE_REMEDY}"
            )


def _name_file(folder: Path, module: ModuleType) -> str:
    return str(Path(str(module.__file__)).relative_to(folder))


def _collect(folder: Path, modules: Iterable[ModuleType], name: str, *kinds: type[Any]) -> Iterator[Any]:
    """Yield what the modules' tuples of this name hold. Raises ConfigurationError for anything else."""
    for module in modules:
        values = getattr(module, name, ())
        if not isinstance(values, tuple | list):
            raise ConfigurationError(f"`{name}` of `{_name_file(folder, module)}` must be a tuple")
        for value in values:
            if not isinstance(value, kinds):
                expected = " or ".join(f"`{kind.__name__}`" for kind in kinds)
                raise ConfigurationError(f"`{name}` of `{_name_file(folder, module)}` holds what is no {expected}")
            yield value


def _collect_subscriptions(folder: Path, modules: Iterable[ModuleType]) -> Mapping[str, SubscriptionSource]:
    collected: dict[str, SubscriptionSource] = {}
    for module in modules:
        values = getattr(module, "SUBSCRIPTIONS", {})
        if not isinstance(values, Mapping):
            raise ConfigurationError(f"`SUBSCRIPTIONS` of `{_name_file(folder, module)}` must be a dict")
        collected.update(values)
    return collected


def _require_mapped_once(mappings: Iterable[TypeMapping]) -> None:
    names: set[str] = set()
    for mapping in mappings:
        if mapping.type in names:
            raise ConfigurationError(f"`{mapping.type}` has two mappings in resolvers/: keep one")
        names.add(mapping.type)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanySchema:
    """All that a company's schema is made of, the built-in types that it needs among it."""

    modules: tuple[ModuleType, ...]
    mappings: Mapping[str, TypeMapping]
    subscriptions: Mapping[str, SubscriptionSource]
    has_jobs: bool
    has_exports: bool
    has_uploads: bool
    has_directory: bool

    @property
    def masking_groups(self) -> Mapping[tuple[str, str], frozenset[str]]:
        """The groups that see a part of a field's values, by type and field."""
        return list_masking_groups(self.mappings)

    @property
    def row_rules(self) -> RowRuleTexts:
        """The rules for rows, in words, by type and group."""
        return list_row_rules(self.mappings)


def build_company_schema(company: Company, settings: SchemaSettings, *, exports: bool) -> CompanySchema:
    """Add the built-in types to the company's own: only those of what it declares, or what its settings turn on."""
    has_jobs = bool(company.jobs) or exports
    has_uploads = UPLOADS in find_schema_parts(company.schema_modules)
    has_changes = any(
        shape_field.kind in CHANGE_KINDS
        for shape in read_shapes(company.schema_modules).types
        for shape_field in shape.fields
    )
    is_included_by_name = {
        "me": True,
        "administration": True,
        "access": True,
        "directory": settings.has_directory,
        "grants": True,
        "requests": True,
        "changes": has_changes,
        "jobs": has_jobs,
        "exports": exports,
    }
    builtin = [
        load_builtin_module(name, settings.builtin.get(name))
        for name, is_included in is_included_by_name.items()
        if is_included
    ]
    job_mutations = list_job_mutations(register_jobs(company.jobs, company.groups))
    _refuse_builtin_names(builtin, company.schema_modules)
    own = (
        *principal.MAPPINGS,
        *administration.MAPPINGS,
        *access.MAPPINGS,
        *(directory.MAPPINGS if settings.has_directory else ()),
        *grants.MAPPINGS,
        *audit_log.MAPPINGS,
        *(job_connector.MAPPINGS if has_jobs else ()),
        *(uploads.MAPPINGS if has_uploads else ()),
    )
    mappings = {mapping.type: mapping for mapping in (*own, *company.mappings)}
    return CompanySchema(
        modules=(*builtin, *company.schema_modules, build_jobs_module(job_mutations)),
        mappings=add_history_mappings(mappings, (mutation.type for mutation in company.mutations)),
        subscriptions={**(job_connector.SUBSCRIPTIONS if has_jobs else {}), **company.subscriptions},
        has_jobs=has_jobs,
        has_exports=exports,
        has_uploads=has_uploads,
        has_directory=settings.has_directory,
    )


def _refuse_builtin_names(builtin: Iterable[ModuleType], own: Iterable[ModuleType]) -> None:
    taken, declared = _list_type_names(builtin), _list_type_names(own)
    for name in sorted(taken & declared):
        raise ConfigurationError(f"`{name}` is a type of the product's own: call the company's by another name")


def _list_type_names(modules: Iterable[ModuleType]) -> frozenset[str]:
    shapes = read_shapes(modules)
    types = frozenset(shape.name for shape in (*shapes.types, *shapes.inputs))
    return (types | frozenset(shape.name for shape in shapes.enums)) - {*ROOTS}
