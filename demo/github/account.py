"""A scale to the organization's state: its repositories, what was rolled out of each, and its users."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count

from demo.world.github import Account, Job, Repo, Rollout, accounts, repos, rollouts

FIRST_STATUS = 900_000_000
"""Of those that are told; those of the world are below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """`rollouts` are those of each repository, the newest first, as GitHub lists them."""

    users: Mapping[str, Account]
    repos: Mapping[str, Repo]
    rollouts: dict[str, list[Rollout]] = field(default_factory=dict)
    jobs: dict[tuple[str, int], tuple[Rollout, Job]] = field(default_factory=dict)
    statuses: Iterator[int] = field(default_factory=lambda: count(FIRST_STATUS))
    """Numbers for further ones."""


def account(scale: Fraction | float = 1) -> Organization:
    made = Organization(
        users={each.login: each for each in accounts(scale)},
        repos={each.name: each for each in repos()},
        rollouts={each.name: [] for each in repos()},
    )
    for each in rollouts(scale):
        made.rollouts[each.repo].insert(0, each)
        made.jobs.update({(each.repo, job.id): (each, job) for job in each.jobs})
    return made


def kept(here: Organization, of: Rollout) -> Rollout:
    """In the place of what it was; a new one comes first."""
    listed = here.rollouts[of.repo]
    for place, each in enumerate(listed):
        if each.id == of.id:
            listed[place] = of
            return of
    listed.insert(0, of)
    return of
