"""A scale to the organization's state: its repositories, what was rolled out of each, and its users."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from demo.world.github import Account, Job, Repo, Rollout, accounts, repos, rollouts


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """`rollouts` are those of each repository, the newest first, as GitHub lists them."""

    users: Mapping[str, Account]
    repos: Mapping[str, Repo]
    rollouts: dict[str, list[Rollout]] = field(default_factory=dict)
    jobs: dict[tuple[str, int], tuple[Rollout, Job]] = field(default_factory=dict)


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
