"""Employees: a table of the internal database; Slack knows them by their e-mail addresses."""

from collections.abc import Sequence

from engine.binding import Batch, Binding, Link
from engine.words import Row


def full_names(rows: Sequence[Row]) -> list[str]:
    return [f"{first} {last}" for first, last in rows]


BINDINGS = (
    Binding(
        type="Employee",
        source="internal",
        collection="employee",
        links={
            "manager": Link(to="Employee", here="manager_id", there="id"),
            "reports": Link(to="Employee", here="id", there="manager_id"),
            "customers": Link(to="Customer", here="id", there="account_manager_id"),
            "deployments": Link(to="Deployment", here="id", there="author_id"),
            "desk": Link(to="Desk", here="id", there="employee_id"),
            "shifts": Link(to="Shift", here="id", there="employee_id"),
            "slackUser": Link(to="SlackUser", here="email", there="email"),
            "driveFiles": Link(to="DriveFile", here="email", there="owner_email"),
            "githubUser": Link(to="GithubUser", here="email", there="email"),
        },
        batches={"fullName": Batch(needs=("firstName", "lastName"), compute=full_names)},
    ),
)
