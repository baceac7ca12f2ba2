"""Call the Datadog emulator with Datadog's own client over the wire."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from datadog_api_client import ApiClient, Configuration
from datadog_api_client.exceptions import ApiException, ForbiddenException, NotFoundException
from datadog_api_client.v1.api.authentication_api import AuthenticationApi
from datadog_api_client.v1.api.metrics_api import MetricsApi
from datadog_api_client.v1.api.monitors_api import MonitorsApi
from datadog_api_client.v2.api.events_api import EventsApi
from datadog_api_client.v2.api.logs_api import LogsApi
from datadog_api_client.v2.model.events_list_request import EventsListRequest
from datadog_api_client.v2.model.events_query_filter import EventsQueryFilter
from datadog_api_client.v2.model.events_request_page import EventsRequestPage
from datadog_api_client.v2.model.events_sort import EventsSort
from datadog_api_client.v2.model.logs_list_request import LogsListRequest
from datadog_api_client.v2.model.logs_list_request_page import LogsListRequestPage
from datadog_api_client.v2.model.logs_query_filter import LogsQueryFilter
from datadog_api_client.v2.model.logs_sort import LogsSort

from demo.data import activity
from demo.data.operations import count_requests, list_traffic
from demo.data.random import NOW
from demo.run import SECRETS
from demo.servers.run import RunningServers, address

SCALE = 0.01
MONITORS = activity.monitors(SCALE)
EVENTS = sorted(activity.events(SCALE), key=lambda event: event.at)
LOGS = sorted(activity.logs(SCALE), key=lambda log: log.at)
DAY = 86_400
AUTHENTICATION: Any = AuthenticationApi
MONITORING: Any = MonitorsApi
LOGGING: Any = LogsApi
HAPPENING: Any = EventsApi
MEASURING: Any = MetricsApi
"""They have no types."""


def configured(demo_servers: RunningServers, **keys: str) -> Configuration:
    configuration = Configuration(host="http://{}:{}".format(*address(demo_servers, "datadog")))
    configuration.api_key["apiKeyAuth"] = keys.get("api_key", SECRETS["DATADOG_API_KEY"])
    configuration.api_key["appKeyAuth"] = keys.get("app_key", SECRETS["DATADOG_APP_KEY"])
    return configuration


@pytest.fixture(scope="module")
def client(demo_servers: RunningServers) -> Iterator[ApiClient]:
    with ApiClient(configured(demo_servers)) as api_client:
        yield api_client


def test_the_keys_are_good(client: ApiClient) -> None:
    assert AUTHENTICATION(client).validate().valid is True


@pytest.mark.parametrize("key", ["api_key", "app_key"])
def test_a_bad_key_is_refused(demo_servers: RunningServers, key: str) -> None:
    with ApiClient(configured(demo_servers, **{key: "wrong"})) as bad, pytest.raises(ForbiddenException):
        MONITORING(bad).list_monitors()


def test_every_monitor_is_listed_page_by_page(client: ApiClient) -> None:
    results = list(MONITORING(client).list_monitors_with_pagination(page_size=7))
    shown = [(item.id, item.name, str(item.overall_state), tuple(item.tags), item.created) for item in results]
    assert shown == [(monitor.id, monitor.name, monitor.status, monitor.tags, monitor.created) for monitor in MONITORS]


def test_one_monitor_is_found_by_its_number_and_others_by_their_tags(client: ApiClient) -> None:
    one = MONITORS[3]
    assert MONITORING(client).get_monitor(one.id).query == one.query
    tagged = MONITORING(client).list_monitors(monitor_tags=one.tags[0])
    assert [item.id for item in tagged] == [monitor.id for monitor in MONITORS if one.tags[0] in monitor.tags]
    with pytest.raises(NotFoundException):
        MONITORING(client).get_monitor(1)


def searched(**given: Any) -> dict[str, Any]:
    return {"_from": "0", "query": "*", **given}


@pytest.mark.parametrize(("query", "meets"), [
    pytest.param("*", lambda log: True, id="all"),
    pytest.param("service:search", lambda log: log.service == "search", id="by service"),
    pytest.param("status:(warn OR error)", lambda log: log.status in ("warn", "error"), id="by several levels"),
    pytest.param("env:STAGING -status:info", lambda log: "env:STAGING" in log.tags and log.status != "info", id="not"),
])  # fmt: skip
def test_logs_are_found_page_by_page_the_oldest_first(client: ApiClient, query: str, meets: Any) -> None:
    body = LogsListRequest(
        filter=LogsQueryFilter(**searched(query=query)),
        sort=LogsSort.TIMESTAMP_ASCENDING,
        page=LogsListRequestPage(limit=30),
    )
    results = list(LOGGING(client).list_logs_with_pagination(body=body))
    shown = [(item.id, item.attributes.timestamp, item.attributes.message) for item in results]
    assert shown == [(item.id, item.at, item.message) for item in LOGS if meets(item)]


def test_events_are_found_between_two_moments_the_newest_first(client: ApiClient) -> None:
    low, high = EVENTS[3].at, EVENTS[-2].at
    body = EventsListRequest(
        filter=EventsQueryFilter(**searched(_from=low.isoformat(), to=high.isoformat())),
        sort=EventsSort.TIMESTAMP_DESCENDING,
        page=EventsRequestPage(limit=4),
    )
    results = list(HAPPENING(client).search_events_with_pagination(body=body))
    shown = [(item.id, item.attributes.attributes.title, item.attributes.message) for item in results]
    assert shown == [(event.id, event.title, event.message) for event in EVENTS[3:-1][::-1]]


def test_a_metric_is_the_sum_of_what_came(client: ApiClient) -> None:
    end = int(NOW.timestamp())
    query = f"sum:acme.errors{{service:search}} by {{env}}.rollup(sum, {DAY})"
    answer = MEASURING(client).query_metrics(_from=end - 3 * DAY, to=end - DAY, query=query)
    expected = {
        f"env:{one.environment}": [
            (index * 1000, count_requests(one, "500", index + DAY) - count_requests(one, "500", index))
            for index in range(end - 3 * DAY, end, DAY)
        ]
        for one in list_traffic(SCALE)
        if one.service == "search"
    }
    assert {
        one_series.scope: [(point.value[0], point.value[1]) for point in one_series.pointlist]
        for one_series in answer.series
    } == expected


def test_a_search_that_is_none_is_refused(client: ApiClient) -> None:
    with pytest.raises(ApiException, match="400"):
        LOGGING(client).list_logs(body=LogsListRequest(filter=LogsQueryFilter(**searched(query="((("))))


def test_a_call_too_many_is_refused(limited_servers: RunningServers) -> None:
    with ApiClient(configured(limited_servers)) as client, pytest.raises(ApiException, match="429") as refused:
        many(lambda: MEASURING(client).query_metrics(_from=0, to=1, query="sum:acme.errors{*}.rollup(sum, 60)"))
    assert int({name.lower(): header for name, header in refused.value.headers.items()}["x-ratelimit-reset"]) > 0


def many(call: Callable[[], Any]) -> None:
    for _ in range(70):
        call()


def test_the_client_reads_times_with_their_zone(client: ApiClient) -> None:
    assert MONITORING(client).get_monitor(MONITORS[0].id).created == MONITORS[0].created.astimezone(UTC)
    assert isinstance(MONITORS[0].created, datetime)
