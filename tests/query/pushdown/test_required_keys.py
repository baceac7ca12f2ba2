"""Where a filter looks at rows that can only be read by keys, the filtered rows go first, however deep it looks."""

import pytest

from demo.data.activity import rollouts
from demo.data.business import tables
from tests import acme

ROLLOUTS = list(rollouts(acme.SCALE))
PRODUCTION = [rollout for rollout in ROLLOUTS if rollout.environment == "production"]
AUTHORS = {row[5] for row in tables(acme.SCALE)["deployment"].rows}
FAILED = {rollout.repo for rollout in ROLLOUTS if rollout.conclusion != "success"}


@pytest.mark.parametrize(
    ("query", "count"),
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
            len({item.repo for item in PRODUCTION}),
            id="there and back",
        ),
    ],
)
async def test_rows_that_need_keys_get_them_from_the_filtered_rows(query: str, count: int) -> None:
    result = await acme.ask(acme.open_engine(acme.build_catalog()), query, "engineering")
    assert ([error.message for error in result.errors], result.data) == ([], {"of": {"totalCount": count}})
