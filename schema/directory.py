"""Declare sites, desks and on-call shifts, from the office team's own service."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema import ById, Many, One, allow, owned

if TYPE_CHECKING:
    from schema.deployment import Deployment
    from schema.employee import Employee


@strawberry.enum(description="The order in which people on call are called.")
class OnCallLevel(StrEnum):
    PRIMARY = "PRIMARY"
    SECONDARY = "SECONDARY"


@strawberry.type(
    description="A place where people work.",
    directives=[allow("everyone"), owned("office team")],
)
class Site:
    id: strawberry.ID = strawberry.field(description="The short name of the site.")
    name: str = strawberry.field(description="The name of the site.")
    street: str = strawberry.field(description="The street and the number.")
    city: str = strawberry.field(description="The city.")
    country: str = strawberry.field(description="The ISO 3166 code of the country, two letters.")
    desks: Many["Desk"] = strawberry.field(description="The desks in it.")


@strawberry.type(
    description="A place to sit.",
    directives=[allow("everyone"), owned("office team")],
)
class Desk:
    id: strawberry.ID = strawberry.field(description="The site and the label of the desk.")
    label: str = strawberry.field(description="The label on the desk.")
    floor: int = strawberry.field(description="The floor; street level is 0.")
    site: One["Site"] = strawberry.field(description="The site of the desk.")
    employee: One["Employee"] = strawberry.field(description="The employee who sits there, if anyone does.")


@strawberry.type(
    description="A week in which someone is on call for a service.",
    directives=[allow("engineering", "support"), owned("platform engineering")],
)
class Shift:
    id: strawberry.ID = strawberry.field(description="The week, the service and the level.")
    service: str = strawberry.field(description="The service on call.")
    level: OnCallLevel = strawberry.field(description="Whether the person is called first.")
    starts_at: datetime = strawberry.field(description="When it starts.")
    ends_at: datetime = strawberry.field(description="When it ends.")
    employee: One["Employee"] = strawberry.field(description="The employee on call.")
    deployments: Many["Deployment"] = strawberry.field(description="All deployments of the service.")


@strawberry.type
class Query:
    site: ById["Site"] = strawberry.field(description="The site with this short name.")
    sites: Many["Site"] = strawberry.field(description="All sites.")
    desk: ById["Desk"] = strawberry.field(description="The desk with this id.")
    desks: Many["Desk"] = strawberry.field(description="All desks.")
    shift: ById["Shift"] = strawberry.field(description="The shift with this id.")
    shifts: Many["Shift"] = strawberry.field(description="All on-call shifts: past, present and future.")
