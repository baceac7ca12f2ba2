"""Employees: a table of the internal database; Slack knows them by their e-mail addresses."""

from collections.abc import Sequence

from onedoor.mapping import ComputedField, Relationship, Row, TypeMapping


def join_full_names(rows: Sequence[Row]) -> list[str]:
    return [f"{first} {last}" for first, last in rows]


MAPPINGS = (
    TypeMapping(
        type="Employee",
        source="internal",
        collection="employee",
        relationships={
            "manager": Relationship(to="Employee", local="manager_id", remote="id"),
            "reports": Relationship(to="Employee", local="id", remote="manager_id"),
            "customers": Relationship(to="Customer", local="id", remote="account_manager_id"),
            "deployments": Relationship(to="Deployment", local="id", remote="author_id"),
            "desk": Relationship(to="Desk", local="id", remote="employee_id"),
            "shifts": Relationship(to="Shift", local="id", remote="employee_id"),
            "slackUser": Relationship(to="SlackUser", local="email", remote="email"),
            "driveFiles": Relationship(to="DriveFile", local="email", remote="owner_email"),
            "githubUser": Relationship(to="GithubUser", local="email", remote="email"),
        },
        computed_fields={"fullName": ComputedField(needs=("firstName", "lastName"), compute=join_full_names)},
    ),
)
