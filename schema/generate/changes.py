"""Shapes in, the same with all that changing needs out: for each type that is changed, its changes and their values.

What a change shows of a row carries the rules of the row's own fields, and so does what may be given for them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from schema.generate.columns import columns
from schema.read import BadSchema, FieldShape, Guards, Leads, Shapes, TypeShape

NO_GUARDS = Guards(allow=(), owned=())
CHANGING = frozenset({Leads.CHANGED, Leads.HISTORY})


def changes(shapes: Shapes) -> Shapes:
    """Raises BadSchema where two mutations would share an input, or one takes none."""
    known = {shape.name: shape for shape in shapes.types}
    changed = dict.fromkeys(each.to for shape in shapes.types for each in shape.fields if each.leads in CHANGING)
    return replace(
        shapes,
        types=(
            *(_asked(_led(shape), tuple(changed)) for shape in shapes.types),
            *(each for name in changed for each in (change(known[name]), values(known[name]))),
        ),
        inputs=tuple(_inputs(shapes, known)),
    )


def change(of: TypeShape) -> TypeShape:
    """Who changed a row, when and why, and the row before and after."""
    return TypeShape(
        name=f"{of.name}Change",
        description=f"One change of a `{of.name}`.",
        guards=of.guards,
        fields=(
            _value("id", "ID", "The change's own.", nullable=False),
            _value("at", "DateTime", "When it was made.", nullable=False),
            _value("person", "ID", "The id of who made it, as the audit records name it.", nullable=False),
            _value("verb", "ChangeVerb", "What was done to the row.", nullable=False),
            _value("mutation", "String", "What was asked for.", nullable=False),
            _value("state", "ChangeState", "What became of it.", nullable=False),
            _value("reason", "String", "Why, as who made it said."),
            _value("record", "ID", "The audit record of the request.", nullable=False),
            _value("row", "ID", "The id of the row.", nullable=False),
            _value("versionBefore", "String", "The row's version before, where it has any."),
            _value("versionAfter", "String", "And after: what the next change may give as `ifVersion`."),
            _link(f"{of.name[0].lower()}{of.name[1:]}", of.name, "The row as it is now; null where it is no more."),
            _link("before", f"{of.name}Values", "The row before; null where it was not there."),
            _link("after", f"{of.name}Values", "The row after; null where it was deleted."),
        ),
        interface=False,
        implements=(),
    )


def values(of: TypeShape) -> TypeShape:
    """What a row held, under the rules of its fields."""
    return TypeShape(
        name=f"{of.name}Values",
        description=f"What a `{of.name}` held before or after a change.",
        guards=of.guards,
        fields=tuple(replace(each, nullable=True) for each in columns(of) if each.name != "id"),
        interface=False,
        implements=(),
    )


def _value(name: str, to: str, description: str, *, nullable: bool = True) -> FieldShape:
    return FieldShape(
        name=name, description=description, guards=NO_GUARDS, leads=Leads.COLUMN, to=to, nullable=nullable
    )


def _link(name: str, to: str, description: str) -> FieldShape:
    return FieldShape(name=name, description=description, guards=NO_GUARDS, leads=Leads.ONE, to=to, nullable=True)


def _led(shape: TypeShape) -> TypeShape:
    """Its fields that lead to changes as links to these."""
    leads = {Leads.CHANGED: Leads.ONE, Leads.HISTORY: Leads.MANY}
    fields = (
        replace(each, leads=leads[each.leads], to=f"{each.to}Change") if each.leads in CHANGING else each
        for each in shape.fields
    )
    return replace(shape, fields=tuple(fields))


def _asked(shape: TypeShape, changed: tuple[str, ...]) -> TypeShape:
    """The root, with all changes of each type, and each by its id."""
    return shape if shape.name != "Query" else replace(shape, fields=(*shape.fields, *_roots(changed)))


def _roots(changed: tuple[str, ...]) -> Iterator[FieldShape]:
    for of in changed:
        name = f"{of[0].lower()}{of[1:]}Change"
        yield replace(_link(name, f"{of}Change", f"The change of a `{of}` with this id."), leads=Leads.BY_ID)
        described = f"All changes of every `{of}` that were made here."
        yield replace(_link(f"{name}s", f"{of}Change", described), leads=Leads.MANY)


def _inputs(shapes: Shapes, known: Mapping[str, TypeShape]) -> Iterator[TypeShape]:
    """Those that mutations take, with their rules, and with what every change takes."""
    taken: dict[str, FieldShape] = {}
    for each in (each for shape in shapes.types if shape.name == "Mutation" for each in shape.fields):
        for name in (argument.to for argument in each.takes):
            if taken.setdefault(name, each) is not each:
                raise BadSchema(f"`{taken[name].name}` and `{each.name}` both take a `{name}`, give each its own")
    for shape in shapes.inputs:
        by = taken.get(shape.name)
        yield shape if by is None else _ruled(shape, by, known)


def _ruled(shape: TypeShape, by: FieldShape, known: Mapping[str, TypeShape]) -> TypeShape:
    shown = {each.name: each.guards for each in known[by.to].fields} if by.leads is Leads.CHANGED else {}
    fields = tuple(
        each if each.guards.allow or each.name not in shown else replace(each, guards=_allowed(shown[each.name]))
        for each in shape.fields
    )
    return replace(
        shape,
        guards=shape.guards if shape.guards.allow else by.guards,
        fields=(*fields, *(COMMON if by.leads is Leads.CHANGED else ())),
    )


def _allowed(guards: Guards) -> Guards:
    return Guards(allow=guards.allow, owned=())


COMMON = (
    _value("ifVersion", "ID", "Only where the row is at this version; else nothing is changed."),
    _value("reason", "String", "Why, for those who read the history: at most 500 characters."),
    _value(
        "idempotencyKey",
        "String",
        "Yours for this one change: sent again, it is answered again and not made again; at most 200 characters.",
    ),
    _value("dryRun", "Boolean", "Only try it: all is judged and tried, nothing is changed."),
)
"""What every input of a change takes besides."""
