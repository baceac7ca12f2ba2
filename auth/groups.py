"""The register of functional groups: what each is for, and who answers for it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A function in the company, never a rank: no group holds another, and being in one says nothing of the rest."""

    name: str
    purpose: str
    owner: str


EVERYONE = "everyone"

GROUPS = (
    Group(name=EVERYONE, purpose="Each person, from creation until deactivation.", owner="people"),
    Group(name="sales", purpose="Wins customers and agrees their orders.", owner="sales"),
    Group(name="marketing", purpose="Runs campaigns and looks after leads.", owner="marketing"),
    Group(name="finance", purpose="Bills customers, pays suppliers, keeps the books.", owner="finance"),
    Group(name="people", purpose="Hires, pays and looks after the people of the company.", owner="people"),
    Group(name="engineering", purpose="Builds and runs the products.", owner="engineering"),
    Group(name="support", purpose="Answers customers and settles their tickets.", owner="support"),
    Group(name="audit", purpose="Reads the records of what was asked.", owner="audit"),
)

NAMES = frozenset(group.name for group in GROUPS)


def registered(name: str) -> bool:
    """Whether a rule or a membership may name this group."""
    return name in NAMES
