"""Declare monitors, events, log lines and metrics of services and customers."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema import ById, Many, One, allow, owned
from schema.deployment import Environment, Window

if TYPE_CHECKING:
    from schema.customer import Customer
    from schema.deployment import Deployment


@strawberry.enum(description="The state of a monitor.")
class MonitorStatus(StrEnum):
    OK = "OK"
    WARN = "Warn"
    ALERT = "Alert"
    NO_DATA = "No Data"
    IGNORED = "Ignored"
    SKIPPED = "Skipped"
    UNKNOWN = "Unknown"


@strawberry.type(
    description="A Datadog monitor and its state.",
    directives=[allow("engineering", "support", "sales"), owned("platform engineering")],
)
class Monitor:
    id: strawberry.ID = strawberry.field(description="Datadog's number of the monitor.")
    name: str = strawberry.field(description="The name of the monitor.")
    status: MonitorStatus = strawberry.field(description="The current state.")
    kind: str = strawberry.field(description="The type in Datadog, such as `metric alert`.")
    query: str | None = strawberry.field(description="The query that it evaluates.", directives=[allow("engineering")])
    message: str | None = strawberry.field(description="The message of its alerts.")
    tags: list[str] = strawberry.field(description="All tags, as `key:value`.")
    service: str | None = strawberry.field(description="The service it monitors, if any.")
    env: str | None = strawberry.field(description="The environment it monitors.")
    created: datetime | None = strawberry.field(description="When it was created.")
    modified: datetime | None = strawberry.field(description="When it was last changed.")
    customer: One["Customer"] = strawberry.field(description="The customer it monitors, if any.")
    deployments: Many["Deployment"] = strawberry.field(description="The deployments of its service.")


@strawberry.type(
    description="Something that happened, as Datadog records it.",
    directives=[allow("engineering", "support"), owned("platform engineering")],
)
class Event:
    id: strawberry.ID = strawberry.field(description="Datadog's id of the event.")
    time: datetime = strawberry.field(description="When it happened.")
    title: str | None = strawberry.field(description="What happened, in one line.")
    message: str | None = strawberry.field(description="What happened.")
    status: str | None = strawberry.field(description="The severity, such as `ok` or `error`.")
    tags: list[str] = strawberry.field(description="All tags, as `key:value`.")
    service: str | None = strawberry.field(description="The service it happened to.")
    env: str | None = strawberry.field(description="The environment it happened in.")


@strawberry.type(
    description="A line that a service logged, as Datadog stores it.",
    directives=[allow("engineering", "support"), owned("platform engineering")],
)
class LogLine:
    id: strawberry.ID = strawberry.field(description="Datadog's id of the line.")
    time: datetime = strawberry.field(description="When it was logged.")
    service: str | None = strawberry.field(description="The service that logged it.")
    env: str | None = strawberry.field(description="The environment of the service.")
    host: str | None = strawberry.field(
        description="The machine of the service.", directives=[allow("engineering", "on-call")]
    )
    status: str | None = strawberry.field(description="The level, such as `info` or `error`.")
    message: str | None = strawberry.field(description="The text of the line.")
    tags: list[str] = strawberry.field(description="All tags, as `key:value`.")
    customer: One["Customer"] = strawberry.field(description="The customer it is about, if any.")


@strawberry.type(
    description="A point of a metric in Datadog.",
    directives=[allow("engineering", "support"), owned("platform engineering")],
)
class MetricPoint:
    id: strawberry.ID = strawberry.field(description="The metric, the service, the environment and the time.")
    metric: str = strawberry.field(description="The name of the declared metric, such as `errors`.")
    service: str | None = strawberry.field(description="The service that was measured.")
    env: str | None = strawberry.field(description="The environment of the service.")
    time: datetime = strawberry.field(description="When the period that it sums up starts.")
    value: float | None = strawberry.field(description="The sum over that period.")


@strawberry.type(
    description="The share of requests that failed in a period, from Prometheus; now, unless `time` is given.",
    directives=[allow("engineering", "support"), owned("platform engineering")],
)
class ErrorRate:
    id: strawberry.ID = strawberry.field(description="The service, the environment, the window and the time.")
    service: str = strawberry.field(description="The service that was measured.")
    environment: Environment = strawberry.field(description="The environment of the service.")
    window: Window = strawberry.field(description="The length of the period.")
    time: datetime = strawberry.field(description="When the period starts.")
    value: float | None = strawberry.field(description="The share that failed; 1 is all.")
    deployments: Many["Deployment"] = strawberry.field(
        description="The deployments of the service in that environment."
    )


@strawberry.type(
    description="The rate of requests to a service, from Prometheus; one row for each step of time.",
    directives=[allow("engineering", "support"), owned("platform engineering")],
)
class RequestRate:
    id: strawberry.ID = strawberry.field(description="The service, the environment, the step and the time.")
    service: str = strawberry.field(description="The service that was measured.")
    environment: Environment = strawberry.field(description="The environment of the service.")
    step: int = strawberry.field(description="Seconds between two rows; each step has rows of its own.")
    time: datetime = strawberry.field(description="When it was measured.")
    value: float | None = strawberry.field(description="The number of requests a second.")


@strawberry.type
class Query:
    monitor: ById["Monitor"] = strawberry.field(description="The monitor with this number.")
    monitors: Many["Monitor"] = strawberry.field(description="All monitors.")
    events: Many["Event"] = strawberry.field(description="All events in Datadog.")
    logs: Many["LogLine"] = strawberry.field(description="All log lines in Datadog; filter them by time.")
    metric_points: Many["MetricPoint"] = strawberry.field(description="The points of all declared metrics.")
    error_rates: Many["ErrorRate"] = strawberry.field(description="The error rates of all services.")
    request_rates: Many["RequestRate"] = strawberry.field(description="The request rates of all services.")
