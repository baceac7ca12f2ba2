"""What watches the company to the JSON that Datadog gives of it."""

from datetime import datetime
from typing import Any

from demo.world.watch import Event, Log, Monitor


def monitor_json(one: Monitor) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "type": one.kind,
        "query": one.query,
        "message": one.message,
        "tags": list(one.tags),
        "overall_state": one.status,
        "created": one.created.isoformat(),
        "modified": one.modified.isoformat(),
        "deleted": None,
        "multi": False,
        "priority": None,
        "options": {"notify_no_data": False, "include_tags": True},
    }


def event_json(one: Event) -> dict[str, Any]:
    return {
        "id": one.id,
        "type": "event",
        "attributes": {
            "attributes": {"title": one.title, "status": one.status, "timestamp": milliseconds(one.at)},
            "message": one.message,
            "tags": list(one.tags),
            "timestamp": stamp(one.at),
        },
    }


def log_json(one: Log) -> dict[str, Any]:
    return {
        "id": one.id,
        "type": "log",
        "attributes": {
            "attributes": {},
            "host": one.host,
            "message": one.message,
            "service": one.service,
            "status": one.status,
            "tags": list(one.tags),
            "timestamp": stamp(one.at),
        },
    }


def milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
