"""Sites, desks and shifts: the office team's service, which knows people by their staff numbers."""

from onedoor.mapping import Relationship, TypeMapping

EMPLOYEE = Relationship(to="Employee", local="employee_id", remote="id")

MAPPINGS = (
    TypeMapping(
        type="Site",
        source="directory",
        collection="office",
        relationships={"desks": Relationship(to="Desk", local="id", remote="office_id")},
    ),
    TypeMapping(
        type="Desk",
        source="directory",
        collection="desk",
        relationships={"site": Relationship(to="Site", local="office_id", remote="id"), "employee": EMPLOYEE},
    ),
    TypeMapping(
        type="Shift",
        source="directory",
        collection="shift",
        relationships={
            "employee": EMPLOYEE,
            "deployments": Relationship(to="Deployment", local="service", remote="service"),
        },
    ),
)
