"""Steps in, what the terminal shows of them out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from introspect.steps import Steps

NUMBERS = frozenset({"port", "timeout", "connections"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tense:
    """Of what a run does to files, or only says that it would."""

    write: str
    remove: str


DONE = Tense(write="wrote", remove="removed")
WOULD = Tense(write="would write", remove="would remove")


def report(taken: Steps, source: str, settings: Mapping[str, str], known: bool, tense: Tense) -> Iterator[str]:
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
        yield f"add to onedoor.toml:\n\n{stanza(source, settings)}"


def stanza(source: str, settings: Mapping[str, str]) -> str:
    """The source's section of the settings; a secret stands there by the name of an environment variable."""
    lines = [f"[sources.{source}]", *(f"{name} = {_value(source, name, each)}" for name, each in settings.items())]
    return "\n".join(lines)


def _value(source: str, name: str, value: str) -> str:
    if name.startswith("headers."):
        return f'{{ env = "{source.upper()}_{name.removeprefix("headers.").upper().replace("-", "_")}" }}'
    if name == "password" or (name == "url" and "@" in value and ":" in value.partition("://")[2].partition("@")[0]):
        return f'{{ env = "{source.upper()}_{name.upper()}" }}'
    return value if name in NUMBERS else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
