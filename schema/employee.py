"""Declare employees: the people who work here."""

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema import ById, Computed, Many, One, allow, owned

if TYPE_CHECKING:
    from schema.customer import Customer
    from schema.deployment import Deployment
    from schema.directory import Desk, Shift
    from schema.drive import DriveFile
    from schema.github import GithubUser
    from schema.slack import SlackUser


@strawberry.type(
    description="Someone who works here.",
    directives=[allow("everyone"), owned("people operations")],
)
class Employee:
    id: strawberry.ID = strawberry.field(description="The staff number.")
    first_name: str = strawberry.field(description="The given name.")
    last_name: str = strawberry.field(description="The family name.")
    full_name: Computed[str] = strawberry.field(description="The given and the family name.")
    email: str = strawberry.field(description="The work e-mail address, which is also the one in Slack.")
    title: str = strawberry.field(description="The job title.")
    department: str = strawberry.field(description="The department the person works in.")
    hired_on: date | None = strawberry.field(description="The first day of work.", directives=[allow("people")])
    salary: Decimal | None = strawberry.field(
        description="The yearly salary before tax, in euros.", directives=[allow("people", "finance"), owned("payroll")]
    )
    manager: One["Employee"] = strawberry.field(description="The employee whom the person reports to.")
    reports: Many["Employee"] = strawberry.field(description="The employees who report to the person.")
    customers: Many["Customer"] = strawberry.field(description="The customers the person looks after.")
    deployments: Many["Deployment"] = strawberry.field(description="The deployments that the person started.")
    desk: One["Desk"] = strawberry.field(description="The desk of the person.")
    shifts: Many["Shift"] = strawberry.field(description="The on-call shifts of the person: past, present and future.")
    slack_user: One["SlackUser"] = strawberry.field(description="The person in Slack, found by e-mail address.")
    drive_files: Many["DriveFile"] = strawberry.field(description="The files that the person owns in Google Drive.")
    github_user: One["GithubUser"] = strawberry.field(description="The person on GitHub, found by e-mail address.")


@strawberry.type
class Query:
    employee: ById["Employee"] = strawberry.field(description="The employee with this staff number.")
    employees: Many["Employee"] = strawberry.field(description="Everyone who works here.")
