"""Deployments: a table of the internal database that names where each was announced in Slack."""

from engine.binding import Binding, Link, Lookup

PLACE = ("service", "environment")

BINDINGS = (
    Binding(
        type="Deployment",
        source="internal",
        collection="deployment",
        lookups={
            "errorRate": Lookup(
                source="prometheus",
                collection="error_rate",
                here=(*PLACE, "started_at"),
                there=(*PLACE, "time"),
                column="value",
                arguments={"window": "window"},
            ),
        },
        links={
            "monitors": Link(to="Monitor", here=PLACE, there=("service", "env")),
            "events": Link(to="Event", here=PLACE, there=("service", "env")),
            "logs": Link(to="LogLine", here=PLACE, there=("service", "env")),
            "author": Link(to="Employee", here="author_id", there="id"),
            "shifts": Link(to="Shift", here="service", there="service"),
            "announcements": Link(to="Message", here=("slack_channel_id", "slack_ts"), there=("channel_id", "ts")),
            "githubDeployments": Link(to="GithubDeployment", here=("service", "commit_sha"), there=("repo", "sha")),
            "workflowRuns": Link(to="WorkflowRun", here=("service", "commit_sha"), there=("repo", "head_sha")),
        },
    ),
)
