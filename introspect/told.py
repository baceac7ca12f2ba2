"""Steps in, what the terminal shows of them out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from introspect.sections import sections
from introspect.steps import Steps

NUMBERS = frozenset({"port", "timeout", "connections"})
DECLARED = "collections"
"""The setting of sources whose collections are declared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tense:
    """Of what a run does to files, or only says that it would."""

    write: str
    remove: str


DONE = Tense(write="wrote", remove="removed")
WOULD = Tense(write="would write", remove="would remove")


def report(taken: Steps, source: str, settings: Mapping[str, Any], known: bool, tense: Tense) -> Iterator[str]:
    """Lines: what changed, what is written, removed and left alone, and what is still to be done by hand."""
    yield from taken.changes
    yield from (f"{tense.write} {path}" for path in sorted(taken.write))
    yield from (f"{tense.remove} {path}" for path in taken.remove)
    for path, difference in sorted(taken.edited.items()):
        yield f"left alone, edited by hand: {path}"
        if difference:
            yield "to apply there by hand:"
            yield difference.rstrip("\n")
    if not (taken.changes or taken.write or taken.remove):
        yield "nothing changed"
    if taken.words:
        yield f"add to SUBJECTS in resolvers/__init__.py: {', '.join(taken.words)}"
    if not taken.kept.wish.allow:
        yield "every type is shut: run it again with `--allow group`, or write `allow(...)` into each file of schema/"
    if not known:
        yield f"add to onedoor.toml:\n\n{stanza(source, wished(taken, settings))}"
    elif taken.changes and DECLARED in settings:
        yield f"put in place of what is in onedoor.toml:\n\n{stanza(source, wished(taken, settings))}"


def wished(taken: Steps, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings, where they declare collections, with those that are wanted alone."""
    if DECLARED not in settings:
        return settings
    names = {each.name for each in taken.kept.tables}
    return {**settings, DECLARED: {name: each for name, each in settings[DECLARED].items() if name in names}}


def stanza(source: str, settings: Mapping[str, Any]) -> str:
    """The source's section of the settings; a secret stands there by the name of an environment variable."""
    if DECLARED in settings:
        place = settings.get("url") or {"env": f"{source.upper()}_URL"}
        return "\n".join(sections(f"sources.{source}", {**settings, "url": place}))
    lines = [f"[sources.{source}]", *(f"{name} = {_value(source, name, each)}" for name, each in settings.items())]
    return "\n".join(lines)


def _value(source: str, name: str, value: str) -> str:
    if name.startswith("headers."):
        return f'{{ env = "{source.upper()}_{name.removeprefix("headers.").upper().replace("-", "_")}" }}'
    if name == "password" or (name == "url" and "@" in value and ":" in value.partition("://")[2].partition("@")[0]):
        return f'{{ env = "{source.upper()}_{name.upper()}" }}'
    return value if name in NUMBERS else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
