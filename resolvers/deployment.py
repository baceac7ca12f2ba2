"""Deployments: a table of the internal database that names where each was announced in Slack."""

from engine.words import Binding, Link

BINDINGS = (
    Binding(
        type="Deployment",
        source="internal",
        collection="deployment",
        links={
            "author": Link(to="Employee", here="author_id", there="id"),
            "shifts": Link(to="Shift", here="service", there="service"),
            "announcements": Link(to="Message", here=("slack_channel_id", "slack_ts"), there=("channel_id", "ts")),
        },
    ),
)
