"""Sites, desks and shifts: the office team's service, which knows people by their staff numbers."""

from engine.binding import Binding, Link

EMPLOYEE = Link(to="Employee", here="employee_id", there="id")

BINDINGS = (
    Binding(
        type="Site",
        source="directory",
        collection="office",
        links={"desks": Link(to="Desk", here="id", there="office_id")},
    ),
    Binding(
        type="Desk",
        source="directory",
        collection="desk",
        links={"site": Link(to="Site", here="office_id", there="id"), "employee": EMPLOYEE},
    ),
    Binding(
        type="Shift",
        source="directory",
        collection="shift",
        links={"employee": EMPLOYEE, "deployments": Link(to="Deployment", here="service", there="service")},
    ),
)
