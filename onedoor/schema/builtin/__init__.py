"""List the types that are the product's own, and give them the owners and groups that a company sets."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from onedoor.errors import ConfigurationError
from onedoor.schema.annotations import Allow, Owned, allow, owned
from onedoor.schema.builtin import access, administration, changes, directory, exports, grants, jobs, me, requests
from onedoor.schema.reader import is_declared_in

BUILTIN_MODULES: Mapping[str, ModuleType] = {
    "me": me,
    "administration": administration,
    "access": access,
    "directory": directory,
    "grants": grants,
    "requests": requests,
    "changes": changes,
    "jobs": jobs,
    "exports": exports,
}


FIXED_ACCESS = frozenset({"access", "administration", "directory", "grants"})
"""The modules whose parts are open to different groups, which no company can make one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltinAccess:
    """Who answers for built-in types, and the groups that may see them; None: as they are declared."""

    owner: str | None = None
    allow: tuple[str, ...] | None = None


def load_builtin_module(name: str, access: BuiltinAccess | None = None) -> ModuleType:
    """Return the built-in types of this name, with the owner and the groups of `access`.

    Raises ConfigurationError where the groups are fixed.
    """
    module = BUILTIN_MODULES[name]
    if name in FIXED_ACCESS and access is not None and access.allow is not None:
        raise ConfigurationError(f"`schema.builtin.{name}.allow` cannot be set: put people into its groups instead")
    if access is None or access == BuiltinAccess():
        return module
    copied = ModuleType(module.__name__, module.__doc__)
    for attribute, value in vars(module).items():
        setattr(copied, attribute, _copy_type(value, access) if is_declared_in(value, module) else value)
    return copied


def _copy_type(declared: Any, access: BuiltinAccess) -> Any:
    """Return a type with other directives; an enum has none."""
    definition = declared.__strawberry_definition__
    if not hasattr(definition, "fields"):
        return declared
    fields = [copy(field) for field in definition.fields]
    for field in fields:
        field.directives = _replace_directives(field.directives, access)
    other = replace(definition, directives=_replace_directives(definition.directives or (), access), fields=fields)
    return type(declared.__name__, (), {"__module__": declared.__module__, "__strawberry_definition__": other})


def _replace_directives(directives: Any, access: BuiltinAccess) -> list[object]:
    return [_replace_directive(directive, access) for directive in directives]


def _replace_directive(directive: object, access: BuiltinAccess) -> object:
    if isinstance(directive, Allow) and access.allow is not None:
        return allow(*access.allow)
    if isinstance(directive, Owned) and access.owner is not None:
        return owned(access.owner)
    return directive
