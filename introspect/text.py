"""Words of Python in, its text out: in double quotes, at most 120 letters a line, as the formatter would leave it."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence

WIDTH = 120


def quoted(value: str) -> str:
    """In the quotes that need fewer escapes; double ones where both need as many."""
    plain = repr(f"'{value}" if '"' in value else value)
    if '"' not in value:
        return '"' + repr(f'"{value}')[2:-1] + '"' if "'" not in value else '"' + repr(value + "'")[1:-2] + '"'
    if "'" not in value:
        return repr(value)
    escaped = plain[3:-1].replace("\\'", "'")
    fewer = value.count("'") < value.count('"')
    return "'" + escaped.replace("'", "\\'") + "'" if fewer else '"' + escaped.replace('"', '\\"') + '"'


def named_text(name: str, value: str, indent: int) -> list[str]:
    """A keyword argument on a line of its own; a long text stands in parts, between parentheses."""
    line = f"{' ' * indent}{name}={quoted(value)},"
    if len(line) <= WIDTH:
        return [line]
    room = WIDTH - indent - 6
    slack = len(quoted(value)) - 2 - len(value)
    wrapper = textwrap.TextWrapper(room - slack, break_on_hyphens=False, drop_whitespace=False)
    parts = [value] if len(value) + slack <= room else wrapper.wrap(value)
    inner = [f"{' ' * (indent + 4)}{quoted(each)}" for each in parts]
    return [f"{' ' * indent}{name}=(", *inner, f"{' ' * indent}),"]


def call(start: str, arguments: Sequence[str], indent: int, end: str = ")") -> list[str]:
    """On one line where it fits, or else an argument a line."""
    line = f"{' ' * indent}{start}{', '.join(arguments)}{end}"
    if len(line) <= WIDTH and not any("\n" in each for each in arguments):
        return [line]
    inner = [f"{' ' * (indent + 4)}{each}," for each in arguments]
    return [f"{' ' * indent}{start}", *inner, f"{' ' * indent}{end}"]


def tupled(values: Iterable[str]) -> str:
    parts = [quoted(each) for each in values]
    return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"


def columns_text(values: Sequence[str]) -> str:
    """One column as it is, several as a tuple."""
    return quoted(values[0]) if len(values) == 1 else tupled(values)


def mapping(name: str, values: Mapping[str, Sequence[str]], indent: int) -> list[str]:
    """A keyword argument that is a dict of texts, or of calls and their arguments; on one line where it fits."""
    parts = [entry(key, value, indent + 4) for key, value in values.items()]
    return call(f"{name}={{", parts, indent, "},") if parts else []


def entry(key: str, value: Sequence[str], indent: int) -> str:
    """A line, or, where that is too long, an argument a line."""
    name, *arguments = value
    if not arguments:
        return f"{quoted(key)}: {name}"
    line = f"{quoted(key)}: {name}({', '.join(arguments)})"
    if len(line) + indent + 1 <= WIDTH:
        return line
    inner = [f"{' ' * (indent + 4)}{each}," for each in arguments]
    return "\n".join([f"{quoted(key)}: {name}(", *inner, f"{' ' * indent})"])
