"""Monitoring: Datadog's monitors, events, logs and metrics, and Prometheus's rates, by service and by customer."""

from engine.binding import Binding, Link

CUSTOMER = Link(to="Customer", here="customer_id", there="id")

BINDINGS = (
    Binding(
        type="Monitor",
        source="datadog",
        collection="monitors",
        links={
            "customer": CUSTOMER,
            "deployments": Link(to="Deployment", here=("service", "env"), there=("service", "environment")),
        },
    ),
    Binding(type="Event", source="datadog", collection="events"),
    Binding(type="LogLine", source="datadog", collection="logs", links={"customer": CUSTOMER}),
    Binding(type="MetricPoint", source="datadog", collection="metrics", key=("metric", "service", "env", "time")),
    Binding(
        type="ErrorRate",
        source="prometheus",
        collection="error_rate",
        key=("service", "environment", "window", "time"),
        links={
            "deployments": Link(to="Deployment", here=("service", "environment"), there=("service", "environment")),
        },
    ),
    Binding(
        type="RequestRate",
        source="prometheus",
        collection="request_rate",
        key=("service", "environment", "step", "time"),
    ),
)
