"""Monitoring: what watches services and customers, what they log, and how many requests fail."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import strawberry

from onedoor.schema import ById, Many, One, allow, owned
from schema.deployment import Environment, Window

if TYPE_CHECKING:
    from schema.customer import Customer
    from schema.deployment import Deployment


@strawberry.enum(description="How a monitor is.")
class MonitorStatus(StrEnum):
    OK = "OK"
    WARN = "Warn"
    ALERT = "Alert"
    NO_DATA = "No Data"
    IGNORED = "Ignored"
    SKIPPED = "Skipped"
    UNKNOWN = "Unknown"


@strawberry.type(
    description="A Datadog monitor: something that is watched, and how it is.",
    directives=[allow("engineering", "support", "sales"), owned("platform engineering")],
)
class Monitor:
    id: strawberry.ID = strawberry.field(description="Datadog's number of the monitor.")
    name: str = strawberry.field(description="What it is called.")
    status: MonitorStatus = strawberry.field(description="How it is now.")
    kind: str = strawberry.field(description="Datadog's type of it, such as `metric alert`.")
    query: str | None = strawberry.field(description="What it looks at.", directives=[allow("engineering")])
    message: str | None = strawberry.field(description="What those it alerts are told.")
    tags: list[str] = strawberry.field(description="All tags, as `key:value`.")
    service: str | None = strawberry.field(description="The service it watches, if it watches one.")
    env: str | None = strawberry.field(description="The environment it watches.")
    created: datetime | None = strawberry.field(description="When it was made.")
    modified: datetime | None = strawberry.field(description="When it was last changed.")
    customer: One["Customer"] = strawberry.field(description="The customer it watches, if it watches one.")
    deployments: Many["Deployment"] = strawberry.field(description="What was rolled out of its service.")


@strawberry.type(
    description="Something that happened, as Datadog was told of it.",
    directives=[allow("engineering", "support"), owned("platform engineering")],
)
class Event:
    id: strawberry.ID = strawberry.field(description="Datadog's id of the event.")
    time: datetime = strawberry.field(description="When it happened.")
    title: str | None = strawberry.field(description="What happened, in a line.")
    message: str | None = strawberry.field(description="What happened.")
    status: str | None = strawberry.field(description="How bad it is, such as `ok` and `error`.")
    tags: list[str] = strawberry.field(description="All tags, as `key:value`.")
    service: str | None = strawberry.field(description="The service it happened to.")
    env: str | None = strawberry.field(description="Where it happened.")


@strawberry.type(
    description="A line that a service logged, as Datadog keeps it.",
    directives=[allow("engineering", "support"), owned("platform engineering")],
)
class LogLine:
    id: strawberry.ID = strawberry.field(description="Datadog's id of the line.")
    time: datetime = strawberry.field(description="When it was logged.")
    service: str | None = strawberry.field(description="What logged it.")
    env: str | None = strawberry.field(description="Where that runs.")
    host: str | None = strawberry.field(description="On which machine.", directives=[allow("engineering")])
    status: str | None = strawberry.field(description="Its level, such as `info` and `error`.")
    message: str | None = strawberry.field(description="What was logged.")
    tags: list[str] = strawberry.field(description="All tags, as `key:value`.")
    customer: One["Customer"] = strawberry.field(description="The customer it is about, if it is about one.")


@strawberry.type(
    description="A point of a metric that Datadog keeps.",
    directives=[allow("engineering", "support"), owned("platform engineering")],
)
class MetricPoint:
    id: strawberry.ID = strawberry.field(description="The metric, the service, the environment and the time.")
    metric: str = strawberry.field(description="Which of the declared metrics, such as `errors`.")
    service: str | None = strawberry.field(description="Of which service.")
    env: str | None = strawberry.field(description="Where that runs.")
    time: datetime = strawberry.field(description="When the time that it sums up begins.")
    value: float | None = strawberry.field(description="The sum over that time.")


@strawberry.type(
    description="How many of a service's requests failed over a time, by Prometheus; now, unless a `time` is named.",
    directives=[allow("engineering", "support"), owned("platform engineering")],
)
class ErrorRate:
    id: strawberry.ID = strawberry.field(description="The service, the environment, the window and the time.")
    service: str = strawberry.field(description="Which service.")
    environment: Environment = strawberry.field(description="Where it runs.")
    window: Window = strawberry.field(description="How long the time is.")
    time: datetime = strawberry.field(description="When it begins.")
    value: float | None = strawberry.field(description="The share that failed; 1 is all.")
    deployments: Many["Deployment"] = strawberry.field(description="What was rolled out of the service there.")


@strawberry.type(
    description="How many requests a service had, by Prometheus; a row for each step of time.",
    directives=[allow("engineering", "support"), owned("platform engineering")],
)
class RequestRate:
    id: strawberry.ID = strawberry.field(description="The service, the environment, the step and the time.")
    service: str = strawberry.field(description="Which service.")
    environment: Environment = strawberry.field(description="Where it runs.")
    step: int = strawberry.field(description="Seconds between two rows; each step has rows of its own.")
    time: datetime = strawberry.field(description="When it was measured.")
    value: float | None = strawberry.field(description="Requests a second.")


@strawberry.type
class Query:
    monitor: ById["Monitor"] = strawberry.field(description="The monitor with this number.")
    monitors: Many["Monitor"] = strawberry.field(description="All monitors.")
    events: Many["Event"] = strawberry.field(description="All events that Datadog keeps.")
    logs: Many["LogLine"] = strawberry.field(description="All lines of log that Datadog keeps: filter them by time.")
    metric_points: Many["MetricPoint"] = strawberry.field(description="The points of all declared metrics.")
    error_rates: Many["ErrorRate"] = strawberry.field(description="Which share of requests failed, of all services.")
    request_rates: Many["RequestRate"] = strawberry.field(description="How many requests came, of all services.")
