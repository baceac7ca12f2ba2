"""Jobs: the state's tables of them, as the caller may see them."""

from engine.binding import Binding, Link

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
