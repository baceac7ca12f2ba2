"""Monitoring: Datadog's monitors, events, logs and metrics, and Prometheus's rates, by service and by customer."""

from onedoor.mapping import Relationship, TypeMapping

CUSTOMER = Relationship(to="Customer", local="customer_id", remote="id")

MAPPINGS = (
    TypeMapping(
        type="Monitor",
        source="datadog",
        collection="monitors",
        relationships={
            "customer": CUSTOMER,
            "deployments": Relationship(to="Deployment", local=("service", "env"), remote=("service", "environment")),
        },
    ),
    TypeMapping(type="Event", source="datadog", collection="events"),
    TypeMapping(type="LogLine", source="datadog", collection="logs", relationships={"customer": CUSTOMER}),
    TypeMapping(type="MetricPoint", source="datadog", collection="metrics", key=("metric", "service", "env", "time")),
    TypeMapping(
        type="ErrorRate",
        source="prometheus",
        collection="error_rate",
        key=("service", "environment", "window", "time"),
        relationships={
            "deployments": Relationship(
                to="Deployment", local=("service", "environment"), remote=("service", "environment")
            ),
        },
    ),
    TypeMapping(
        type="RequestRate",
        source="prometheus",
        collection="request_rate",
        key=("service", "environment", "step", "time"),
    ),
)
