"""A source and limits in, a request's fetch under way out, with nothing to bind."""

from onedoor.model.catalog import Limits
from onedoor.query.executor.state import ExecutionState
from onedoor.query.planner.bind import BoundPlan
from onedoor.runtime import resilience
from onedoor.runtime.row_cache import Reader
from onedoor.spi.connector import Connector


def running(name: str, source: Connector, limits: Limits) -> ExecutionState:
    return ExecutionState(
        readers={name: Reader(connector=resilience.wrap_connector(name, source, limits, lambda: 0.0))},
        bound_plan=BoundPlan(variables={}, cursor_values={}, cursor_keys={}),
        scan_stats=[],
        limits=limits,
    )
