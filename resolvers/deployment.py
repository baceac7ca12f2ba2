"""Deployments: a table of the internal database that names where each was announced in Slack."""

from onedoor.mapping import Lookup, Relationship, TypeMapping

PLACE = ("service", "environment")

MAPPINGS = (
    TypeMapping(
        type="Deployment",
        source="internal",
        collection="deployment",
        lookups={
            "errorRate": Lookup(
                source="prometheus",
                collection="error_rate",
                local=(*PLACE, "started_at"),
                remote=(*PLACE, "time"),
                column="value",
                arguments={"window": "window"},
            ),
        },
        relationships={
            "monitors": Relationship(to="Monitor", local=PLACE, remote=("service", "env")),
            "events": Relationship(to="Event", local=PLACE, remote=("service", "env")),
            "logs": Relationship(to="LogLine", local=PLACE, remote=("service", "env")),
            "author": Relationship(to="Employee", local="author_id", remote="id"),
            "shifts": Relationship(to="Shift", local="service", remote="service"),
            "announcements": Relationship(
                to="Message", local=("slack_channel_id", "slack_ts"), remote=("channel_id", "ts")
            ),
            "githubDeployments": Relationship(
                to="GithubDeployment", local=("service", "commit_sha"), remote=("repo", "sha")
            ),
            "workflowRuns": Relationship(
                to="WorkflowRun", local=("service", "commit_sha"), remote=("repo", "head_sha")
            ),
        },
    ),
)
