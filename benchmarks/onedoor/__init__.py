"""The company of the benchmark: a shop, a record collection and a forum, each subject a file here as in the product."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

from auth.groups import FunctionalGroup, Groups
from onedoor.company import Company, CompanySchema, build_company_schema
from onedoor.config import SchemaSettings
from onedoor.model.mapping import TypeMapping

SUBJECTS = ("music", "shop", "forum")
GROUPS = Groups(
    FunctionalGroup(name=name, purpose="The benchmark.", owner=name) for name in ("marketing", "sales", "support")
)


def load_schema_modules() -> tuple[ModuleType, ...]:
    return tuple(import_module(f"benchmarks.onedoor.schema.{subject}") for subject in SUBJECTS)


def load_mappings() -> tuple[TypeMapping, ...]:
    modules = (import_module(f"benchmarks.onedoor.resolvers.{subject}") for subject in SUBJECTS)
    return tuple(mapping for module in modules for mapping in module.MAPPINGS)


def load_parts() -> CompanySchema:
    """Return the schema of the company, with the built-in types that it needs."""
    return build_company_schema(load_company(), SchemaSettings(), exports=False)


def load_company() -> Company:
    """Read only: there is nothing to change and no job."""
    return Company(
        folder=Path(__file__).parent, groups=GROUPS, schema_modules=load_schema_modules(), mappings=load_mappings()
    )
