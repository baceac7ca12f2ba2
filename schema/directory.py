"""Sites, desks and who is on call: what the office team's own service knows."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema import ById, Many, One, allow, owned

if TYPE_CHECKING:
    from schema.deployment import Deployment
    from schema.employee import Employee


@strawberry.enum(description="Who is called first, and who next.")
class OnCallLevel(StrEnum):
    PRIMARY = "PRIMARY"
    SECONDARY = "SECONDARY"


@strawberry.type(
    description="A place where people work.",
    directives=[allow("everyone"), owned("office team")],
)
class Site:
    id: strawberry.ID = strawberry.field(description="The short name of the site.")
    name: str = strawberry.field(description="What it is called.")
    street: str = strawberry.field(description="Street and number.")
    city: str = strawberry.field(description="Where it is.")
    country: str = strawberry.field(description="ISO 3166 code, two letters.")
    desks: Many["Desk"] = strawberry.field(description="The desks in it.")


@strawberry.type(
    description="A place to sit.",
    directives=[allow("everyone"), owned("office team")],
)
class Desk:
    id: strawberry.ID = strawberry.field(description="The office and what is written on the desk.")
    label: str = strawberry.field(description="What is written on it.")
    floor: int = strawberry.field(description="Counted from the street, which is 0.")
    site: One["Site"] = strawberry.field(description="Where it stands.")
    employee: One["Employee"] = strawberry.field(description="Who sits there, if anyone does.")


@strawberry.type(
    description="A week in which someone answers for a service.",
    directives=[allow("engineering", "support"), owned("platform engineering")],
)
class Shift:
    id: strawberry.ID = strawberry.field(description="The week, the service and the level.")
    service: str = strawberry.field(description="What is answered for.")
    level: OnCallLevel = strawberry.field(description="Whether the person is called first.")
    starts_at: datetime = strawberry.field(description="When it begins.")
    ends_at: datetime = strawberry.field(description="When it ends.")
    employee: One["Employee"] = strawberry.field(description="Who answers.")
    deployments: Many["Deployment"] = strawberry.field(description="All deployments of the service.")


@strawberry.type
class Query:
    site: ById["Site"] = strawberry.field(description="The site with this short name.")
    sites: Many["Site"] = strawberry.field(description="All sites.")
    desk: ById["Desk"] = strawberry.field(description="The desk with this id.")
    desks: Many["Desk"] = strawberry.field(description="All desks.")
    shift: ById["Shift"] = strawberry.field(description="The shift with this id.")
    shifts: Many["Shift"] = strawberry.field(description="Who was, is and will be on call, for each service.")
