"""Filters that look at rows which can only be read by keys: those that are filtered go first, however deep it is."""

import pytest

from demo.data.activity import rollouts
from demo.data.business import tables
from tests import acme

ROLLOUTS = list(rollouts(acme.SCALE))
PRODUCTION = [each for each in ROLLOUTS if each.environment == "production"]
AUTHORS = {row[5] for row in tables(acme.SCALE)["deployment"].rows}
FAILED = {each.repo for each in ROLLOUTS if each.conclusion != "success"}


@pytest.mark.parametrize(
    ("question", "count"),
    [
        pytest.param(
            '{ of: deployments(where: {githubDeployments: {some: {environment: {eq: "production"}}}}) { totalCount } }',
            len(PRODUCTION),
            id="beside, in another source",
        ),
        pytest.param(
            '{ of: deployments(where: {githubDeployments: {some: {statuses: {some: {state: {eq: "queued"}}}}}})'
            " { totalCount } }",
            len(ROLLOUTS),
            id="below that again",
        ),
        pytest.param(
            '{ of: employees(where: {deployments: {some: {workflowRuns: {some: {event: {ne: "push"}}}}}})'
            " { totalCount } }",
            len(AUTHORS),
            id="behind what the source could relate itself",
        ),
        pytest.param(
            '{ of: githubRepos(where: {not: {runs: {every: {conclusion: {eq: "success"}}}}}) { totalCount } }',
            len(FAILED),
            id="in the same source",
        ),
        pytest.param(
            "{ of: githubRepos(where: {runs: {some: {approvals: {some: {approver: {employee: {email: {endsWith: "
            '"@acme.example"}}}}}}}}) { totalCount } }',
            len({each.repo for each in PRODUCTION}),
            id="there and back",
        ),
    ],
)
async def test_rows_that_must_be_named_are_named_by_those_that_are_filtered(question: str, count: int) -> None:
    told = await acme.ask(acme.opened(acme.house()), question, "engineering")
    assert ([each.message for each in told.errors], told.data) == ([], {"of": {"totalCount": count}})
