"""Traffic: what all customers used, which takes a while."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onedoor.jobs import Job, JobContext, Retries, described

PAGE = """query SurveyUsage($after: String, $first: Int!) { customers(first: $first, after: $after) { totalCount
  nodes { id usage(first: 1, orderBy: [{day: DESC}]) { nodes { activeUsers } } }
  pageInfo { endCursor hasNextPage } } }"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyUsageInput:
    """How it goes about it."""

    page: int = described("Customers asked for at once.", default=50)


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyedUsage:
    """What was found."""

    customers: int = described("How many there are.")
    idle: int = described("How many of them had no active user on their last day.")


async def survey(context: JobContext, given: SurveyUsageInput) -> SurveyedUsage:
    """Read each page in a step of its own: a page read before a crash is not read again."""
    seen = idle = 0
    after, more = None, True
    while more:
        found = await context.step(f"customers after {seen}", _load_page, context, after, given.page)
        seen, idle = seen + found["customers"], idle + found["idle"]
        after, more = found["after"], found["more"]
        context.report_progress(seen, found["all"])
    return SurveyedUsage(customers=seen, idle=idle)


async def _load_page(context: JobContext, after: str | None, first: int) -> Mapping[str, Any]:
    page = (await context.query(PAGE, {"after": after, "first": first}))["customers"]
    active = [any(day["activeUsers"] for day in each["usage"]["nodes"]) for each in page["nodes"]]
    return {
        "customers": len(active),
        "idle": active.count(False),
        "all": page["totalCount"],
        "after": page["pageInfo"]["endCursor"],
        "more": page["pageInfo"]["hasNextPage"],
    }


JOBS = (
    Job(
        name="SurveyUsage",
        description="Counts the customers who have stopped using what they bought.",
        owner="marketing",
        may_start=frozenset({"marketing", "sales"}),
        may_see=frozenset({"marketing", "sales"}),
        input=SurveyUsageInput,
        result=SurveyedUsage,
        run=survey,
        exclusive_key=lambda given: "all",
        timeout_seconds=1800.0,
        retries=Retries(times=3),
    ),
)
