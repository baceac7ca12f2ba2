"""What a file says of a field that nobody described: its name, as a sentence."""

from introspect.english import plural
from introspect.names import Words, camel
from introspect.words import Table

STOPS = (".", "!", "?")
WHETHER = frozenset({"is", "has", "was", "can", "may", "should", "needs", "uses", "allows"})


def sentence(comment: str) -> str:
    """A comment on one line, with a full stop; empty when there is none."""
    found = " ".join("".join(each if each.isprintable() else " " for each in comment).split())
    return found if not found or found.endswith(STOPS) else f"{found}."


def of_type(table: Table, noun: Words) -> str:
    return sentence(table.comment) or f"One {' '.join(noun)}."


def of_value(words: Words, annotation: str) -> str:
    if annotation.startswith("bool") and len(words) > 1 and words[-1] in ("flag", "yn"):
        return of_value(words[:-1], annotation)
    said = " ".join(words)
    if annotation.startswith("bool"):
        return f"Whether it {said}." if words[0] in WHETHER else f"Whether it is {said}."
    if annotation.startswith(("date", "datetime")) and len(words) == 2 and words[1] in ("at", "on"):
        return f"When it was {words[0]}."
    return f"The {said}."


def of_key(noun: Words, parts: tuple[Words, ...]) -> str:
    if len(parts) == 1:
        return f"What identifies the {' '.join(noun)}."
    named = [" ".join(each) for each in parts]
    return f"The {', '.join(named[:-1])} and the {named[-1]}, as `{':'.join(map(camel, parts))}`."


def of_lead(words: Words, to: Words) -> str:
    """Of the one row that is led to."""
    said = f"The {' '.join(to)}"
    return f"{said}." if words == to else f"{said} it names as `{camel(words)}`."


def of_back(noun: Words, link: Words, plain: bool, alone: bool) -> str:
    """Of the rows that lead here by `link`."""
    rows = " ".join(noun if alone else (*noun[:-1], plural(noun[-1])))
    if plain:
        return f"Its {rows}, where there is one." if alone else f"Its {rows}."
    return f"The {rows} that {'names' if alone else 'name'} it as `{camel(link)}`."


def of_enum(words: Words, noun: Words) -> str:
    return f"What the {' '.join(words)} of the {' '.join(noun)} can be."
