"""Draw a small schema with random rules and a random query of it, as plain data and as text."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

GROUPS = ("finance", "people", "sales", "support")
NOBODY = 0.01
"""How often a rule names no group at all."""
Rule = frozenset[str] | None
"""The groups of one `@allow`; None: there is no directive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    to: str
    rule: Rule
    arguments: Mapping[str, "Member"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Type:
    keyword: str
    rule: Rule
    members: Mapping[str, Member]
    above: tuple[str, ...] = ()


Schema = Mapping[str, Type]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnField:
    """One field, wanted of `kinds` under a key of its own."""

    key: str
    kinds: tuple[str, ...]
    name: str
    arguments: Mapping[str, Any]
    below: tuple["DrawnField", ...]


def rule(random: Random, share: float = 0.5) -> Rule:
    if random.random() > share:
        return None
    many = 0 if random.random() < NOBODY else random.choice([1, 1, 2, 3])
    return frozenset(random.sample(GROUPS, many))


def schema(random: Random) -> Schema:
    """Two objects under one interface, one beside it, and two input types that hold each other."""
    shared = Member(to="Int", rule=rule(random))
    output = ("Int", "Post", "Note", "Reply", "Person")
    return {
        "Query": Type(keyword="type", rule=rule(random, 0.1), members=members(random, output[1:], 4)),
        "Post": Type(keyword="interface", rule=rule(random), members={"text": shared}),
        "Note": implementing(random, output),
        "Reply": implementing(random, output),
        "Person": Type(keyword="type", rule=rule(random), members=members(random, output, 3)),
        "Where": Type(keyword="input", rule=rule(random, 0.3), members=inputs(random)),
        "Test": Type(keyword="input", rule=rule(random, 0.3), members=inputs(random)),
    }


def implementing(random: Random, output: tuple[str, ...]) -> Type:
    own = {"text": Member(to="Int", rule=rule(random)), **members(random, output, 3)}
    return Type(keyword="type", rule=rule(random), members=own, above=("Post",))


def members(random: Random, to: tuple[str, ...], many: int) -> dict[str, Member]:
    return {f"f{index}": member(random, to) for index in range(many)}


def member(random: Random, to: tuple[str, ...]) -> Member:
    takes = {
        f"x{index}": Member(to=random.choice(["Int", "Where", "[Where!]"]), rule=rule(random, 0.25))
        for index in range(random.choice([0, 1, 2]))
    }
    return Member(to=random.choice(to), rule=rule(random), arguments=takes)


def inputs(random: Random) -> dict[str, Member]:
    return {
        f"p{index}": Member(to=random.choice(["Int", "Int", "Where", "Test", "[Test!]"]), rule=rule(random, 0.3))
        for index in range(3)
    }


def question(random: Random, of: Schema) -> tuple[DrawnField, ...]:
    keys = (f"k{number}" for number in count())
    return tuple(draw_field(random, of, keys, ("Query",), 0) for _ in range(3))


def draw_field(random: Random, of: Schema, keys: Iterator[str], kinds: tuple[str, ...], depth: int) -> DrawnField:
    name = random.choice(
        [member for member in of[kinds[0]].members if all(member in of[kind].members for kind in kinds)]
    )
    one = of[kinds[0]].members[name]
    return DrawnField(
        key=next(keys),
        kinds=kinds,
        name=name,
        arguments={
            item: value(random, of, takes.to, 0) for item, takes in one.arguments.items() if random.random() < 0.6
        },
        below=tuple(below(random, of, keys, one.to, depth)),
    )


def below(random: Random, of: Schema, keys: Iterator[str], to: str, depth: int) -> Iterator[DrawnField]:
    """Of an interface, what it declares is asked of every type under it, the rest of one of them."""
    for _ in range(0 if to == "Int" else 2):
        if depth == 3:
            yield DrawnField(key=next(keys), kinds=concrete(of, to), name="__typename", arguments={}, below=())
        elif to == "Post" and random.random() < 0.5:
            yield DrawnField(key=next(keys), kinds=concrete(of, to), name="text", arguments={}, below=())
        else:
            yield draw_field(random, of, keys, (random.choice(concrete(of, to)),), depth + 1)


def concrete(of: Schema, to: str) -> tuple[str, ...]:
    return tuple(name for name, item in of.items() if to in item.above) or (to,)


def value(random: Random, of: Schema, to: str, depth: int) -> Any:
    if to.startswith("["):
        return [value(random, of, to.strip("[!]"), depth) for _ in range(random.choice([0, 1, 2]))]
    if to == "Int":
        return random.choice([1, None])
    if depth == 3:
        return {}
    given = {name: member for name, member in of[to].members.items() if random.random() < 0.5}
    return {name: value(random, of, item.to, depth + 1) for name, item in given.items()}


def sdl(of: Schema) -> str:
    return "\n".join(print_type(name, item) for name, item in of.items())


def print_type(name: str, of: Type) -> str:
    implements = f" implements {' & '.join(of.above)}" if of.above else ""
    lines = (f'  "said" {item}{takes(member)}: {member.to}{allow(member.rule)}' for item, member in of.members.items())
    return f"{of.keyword} {name}{implements}{allow(of.rule)} {{\n" + "\n".join(lines) + "\n}"


def takes(one: Member) -> str:
    given = [f"{name}: {argument.to}{allow(argument.rule)}" for name, argument in one.arguments.items()]
    return f"({', '.join(given)})" if given else ""


def allow(groups: Rule) -> str:
    names = ", ".join(f'"{group}"' for group in sorted(groups or ()))
    return "" if groups is None else f" @allow(groups: [{names}])"


def text(of: Schema, wanted: tuple[DrawnField, ...]) -> str:
    return "{ " + " ".join(field_text(of, value_) for value_ in wanted) + " }"


def field_text(of: Schema, one: DrawnField) -> str:
    given = (
        f"({', '.join(f'{name}: {literal(argument)}' for name, argument in one.arguments.items())})"
        if one.arguments
        else ""
    )
    inner = f" {text(of, one.below)}" if one.below else ""
    selection_text = f"{one.key}: {one.name}{given}{inner}"
    return selection_text if len(one.kinds) > 1 else f"... on {one.kinds[0]} {{ {selection_text} }}"


def literal(value: Any) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{name}: {literal(item)}" for name, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(literal, value)) + "]"
        case _:
            return "null" if value is None else str(value)
