"""Offer what a company declares its jobs with: its own processes, started by people, schedules and other jobs."""

from onedoor.jobs.codecs import described
from onedoor.jobs.context import JobContext, JobQueryFailed
from onedoor.jobs.declarations import Job, NoInput, Retries, Schedule, Script, ScriptLimits
from onedoor.jobs.models import ChildResult, JobFailed

__all__ = [
    "ChildResult",
    "Job",
    "JobContext",
    "JobFailed",
    "JobQueryFailed",
    "NoInput",
    "Retries",
    "Schedule",
    "Script",
    "ScriptLimits",
    "described",
]
