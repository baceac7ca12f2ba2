"""Jobs: the state's tables of them, as the caller may see them."""

from engine.act import Action
from engine.binding import Binding, Link
from engine.feed import Listens
from exports.clerk import Clerk
from exports.job import export_query
from work.actions import cancel, listed, start, start_any
from work.starting import Starting

TOPIC = "Job"

BINDINGS = (
    Binding(
        type="Job",
        source="jobs",
        collection="job",
        columns={"startedBy": "person_name"},
        links={
            "parent": Link(to="Job", here="parent_id", there="id"),
            "parts": Link(to="Job", here="id", there="parent_id"),
            "lines": Link(to="JobLine", here="id", there="job_id"),
            "files": Link(to="JobFile", here="id", there="job_id"),
        },
    ),
    Binding(type="JobLine", source="jobs", collection="job_line", key=("job_id", "number")),
    Binding(type="JobFile", source="jobs", collection="job_file", key=("job_id", "name")),
)

FEEDS = {"jobChanged": Listens(topic=TOPIC, argument="id")}


def acting(starting: Starting, clerk: Clerk) -> dict[str, Action]:
    """By mutation, what it does about jobs."""
    return {
        "startJob": start_any(starting),
        "cancelJob": cancel(starting),
        "exportQuery": export_query(starting, clerk),
        **{each.mutation: start(starting, each.name) for each in listed(starting.jobs)},
    }
