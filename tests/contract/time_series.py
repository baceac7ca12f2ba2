"""Define a few time series and their collections for the Prometheus connector."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from demo.servers.prometheus.app import RecordedPoints
from demo.servers.prometheus.promql import Series

NOW = datetime(2024, 3, 1, 3, tzinfo=UTC)
START = NOW - timedelta(hours=1)
SERVICES = ("search", "Search", "mailer", 'a"b\\c\nd', "é", "a|b", "{}")


def series(service: str, customer: str, a_minute: int) -> Series:
    points = [
        (int((START + timedelta(minutes=index)).timestamp()) * 1000, float(a_minute * index)) for index in range(61)
    ]
    labels = {"__name__": "requests_total", "service": service, "customer": customer, "region": "x"[: a_minute % 2]}
    return Series(labels=labels, points=RecordedPoints(tuple(points)))


HISTORY = [series(service, str(number % 3), number + 1) for number, service in enumerate(SERVICES)]
DECLARED: Mapping[str, Any] = {
    "rate": {
        "query": "sum by (service, region) (rate(requests_total{{selectors}}[{window}]))",
        "labels": ["service", "region"],
        "windows": ["5m", "1h"],
    },
    "total": {"query": "sum by (customer) (requests_total{{selectors}})", "labels": ["customer:int"]},
    "unfiltered": {"query": "requests_total / 0", "labels": ["service", "customer:int", "region"]},
    "samples": {
        "query": "sum by (service) (requests_total{{selectors}})",
        "labels": ["service"],
        "steps": ["10m", "1h"],
        "history": "30m",
    },
}
KEYS = {
    "rate": ("service", "window", "time"),
    "total": ("customer", "time"),
    "unfiltered": ("service", "time"),
    "samples": ("service", "step", "time"),
}
