"""Build the rows of the demo's Prometheus and Datadog, with the capabilities of the real connectors."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Any

from demo.data import activity
from demo.data.operations import ENVIRONMENTS, list_traffic
from demo.data.random import NOW
from demo.run import ERROR_RATE, REQUEST_RATE
from demo.servers.prometheus.app import build_history
from demo.servers.prometheus.promql import evaluate, parse
from onedoor.connectors.datadog.collections import (
    build_datadog_capabilities,
    build_health_collection,
    build_metrics_collection,
    build_monitors_collection,
    build_search_collection,
)
from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.connectors.prometheus.collections import (
    build_prometheus_capabilities,
    fill_query,
    parse_prometheus_collection,
)
from onedoor.spi.capabilities import Capabilities, ColumnType
from onedoor.spi.predicates import Row

TAGS = {"service": ColumnType.TEXT, "env": ColumnType.TEXT, "customer_id": ColumnType.INTEGER}
WINDOWS = {"5m": 5, "1h": 60, "1d": 1440}
PLACE = ["service", "environment"]
DAYS = 3


def build_prometheus(scale: Fraction) -> MemoryConnector:
    """Of each deployment, the error rates that followed it; of each service, a few rates of requests."""
    rates = parse_prometheus_collection("error_rate", {"query": ERROR_RATE, "labels": PLACE, "windows": list(WINDOWS)})
    requests = parse_prometheus_collection(
        "request_rate", {"query": REQUEST_RATE, "labels": PLACE, "steps": ["1h", "1d"]}
    )
    return MemoryConnector(
        {
            "error_rate": MemoryCollection(
                capabilities=build_prometheus_capabilities(rates), rows=list(dict.fromkeys(_error_rates(scale)))
            ),
            "request_rate": MemoryCollection(
                capabilities=build_prometheus_capabilities(requests), rows=list(_request_rates(scale))
            ),
        }
    )


def _error_rates(scale: Fraction) -> Iterator[Row]:
    history = build_history(float(scale), NOW)
    for _, service, _, environment, _, _, started, *_ in activity.list_deployments(scale):
        for window in WINDOWS:
            query = fill_query(ERROR_RATE, {"service": [service], "environment": [environment]}, window)
            result = evaluate(parse(query), history, int(started.timestamp() * 1000))
            assert isinstance(result, dict)
            yield service, environment, window, started, next(iter(result.values()), None)


def _request_rates(scale: Fraction) -> Iterator[Row]:
    for traffic in list_traffic(scale):
        for step in (3600, 86_400):
            yield from (
                (
                    traffic.service,
                    traffic.environment,
                    step,
                    NOW - timedelta(seconds=step * back),
                    traffic.a_minute / 60 + back,
                )
                for back in range(DAYS)
            )


def build_datadog(scale: Fraction) -> MemoryConnector:
    rows = {
        "monitors": _monitors(scale),
        "health": _health(scale),
        "events": _events(scale),
        "logs": _logs(scale),
        "metrics": list(_metrics()),
    }
    return MemoryConnector(
        {name: MemoryCollection(capabilities=can, rows=rows[name]) for name, can in datadog_capabilities().items()}
    )


def datadog_capabilities() -> Mapping[str, Capabilities]:
    return {
        "monitors": build_datadog_capabilities(build_monitors_collection(TAGS)),
        "health": build_datadog_capabilities(build_health_collection("customer_id", ColumnType.INTEGER)),
        "events": _searched("events"),
        "logs": _searched("logs"),
        "metrics": build_datadog_capabilities(build_metrics_collection({}, TAGS, timedelta(), lambda: NOW)),
    }


def _searched(name: str) -> Capabilities:
    return build_datadog_capabilities(build_search_collection(name, TAGS, timedelta(), lambda: NOW))


def tagged(tags: Sequence[str]) -> Mapping[str, Any]:
    results = dict(tag.split(":", 1) for tag in tags)
    customer = results.get("customer_id")
    return {**results, "customer_id": None if customer is None else int(customer)}


def _monitors(scale: Fraction) -> list[Row]:
    results = []
    for monitor in activity.monitors(scale):
        of = tagged(monitor.tags)
        about = (monitor.id, monitor.name, monitor.status, monitor.kind, monitor.query, monitor.message, monitor.tags)
        results.append((*(of.get(tag) for tag in TAGS), *about, monitor.created, monitor.modified))
    return results


def _health(scale: Fraction) -> list[Row]:
    """A customer has one monitor."""
    results = [(tagged(monitor.tags)["customer_id"], monitor.status) for monitor in activity.monitors(scale)]
    return [(of, status, int(status in ("Warn", "Alert")), 1) for of, status in results if of is not None]


def _events(scale: Fraction) -> list[Row]:
    results = []
    for event in activity.events(scale):
        of = tagged(event.tags)
        results.append(
            (*(of.get(tag) for tag in TAGS), event.id, event.at, event.message, event.tags, event.title, event.status)
        )
    return results


def _logs(scale: Fraction) -> list[Row]:
    """The service is the line's own."""
    results = []
    for log in activity.logs(scale):
        of = tagged(log.tags)
        about = (log.id, log.at, log.message, log.tags, log.host, log.status)
        results.append((log.service, of.get("env"), of["customer_id"], *about))
    return results


def _metrics() -> Iterator[Row]:
    for number, environment in enumerate(ENVIRONMENTS):
        for day in range(DAYS):
            yield "search", environment, None, "errors", NOW - timedelta(days=day), float(10 * number + day)
