"""A text of PromQL in, its tokens out; and what durations, quoted texts and matchers mean."""

import re

TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)|(?P<duration>(?:[0-9]+(?:ms|[smhdwy]))+)
    |(?P<number>0x[0-9a-fA-F]+|[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+|(?:[nN]a[nN]|[iI]nf)\b)
    |(?P<word>[a-zA-Z_:][a-zA-Z0-9_:]*)|(?P<sign>=~|!~|!=|==|>=|<=|[-+*/<>=(){}\[\],]))""",
    re.VERBOSE,
)
ESCAPED = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", re.DOTALL)
PLAIN = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
MILLISECONDS = {
    "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000,
}  # fmt: skip


class BadQuery(ValueError):
    """No query of this part of PromQL."""


def duration(text: str) -> int:
    """`1h30m` in milliseconds."""
    parts = re.findall(r"([0-9]+)(ms|[smhdwy])", text)
    if not parts or "".join(map("".join, parts)) != text:
        raise BadQuery(f"not a valid duration: {text!r}")
    return sum(int(count) * MILLISECONDS[unit] for count, unit in parts)


def tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(text.rstrip()):
        token = TOKEN.match(text, at)
        if token is None:
            raise BadQuery(f"unexpected character at {at}")
        assert token.lastgroup is not None
        found.append((token.lastgroup, token[token.lastgroup]))
        at = token.end()
    return found


def unquoted(text: str) -> str:
    if text[0] == "`":
        return text[1:-1]
    return ESCAPED.sub(_unescaped, text[1:-1])


def _unescaped(found: re.Match[str]) -> str:
    said = found[1]
    if len(said) > 1:
        return chr(int(said[1:], 16))
    if said not in PLAIN and said not in "\\'\"":
        raise BadQuery("unknown escape sequence")
    return PLAIN.get(said, said)


def regular(value: str) -> None:
    try:
        re.compile(value)
    except re.error as error:
        raise BadQuery(f"error parsing regexp: {error}") from None


def matches(match: str, value: str, found: str) -> bool:
    met = re.fullmatch(value, found, re.DOTALL) is not None if "~" in match else found == value
    return met != match.startswith("!")
