"""A type's shape in, the fields that a made type can look at out, and the rule it copies."""

from schema.read import FieldShape, Guards, Leads, TypeShape

EVERYONE = Guards(allow=(("everyone",),), owned=())


def columns(shape: TypeShape) -> tuple[FieldShape, ...]:
    """What holds one value of a scalar or an enum, and is not computed."""
    return tuple(each for each in shape.fields if each.leads is Leads.COLUMN and not each.many and each.to != "JSON")


def links(shape: TypeShape, *leads: Leads) -> tuple[FieldShape, ...]:
    """What leads to other rows in one of these ways."""
    return tuple(each for each in shape.fields if each.leads in leads)


def allowed(guards: Guards) -> Guards:
    """The rule without the owner: what a derived position copies."""
    return Guards(allow=guards.allow, owned=())
