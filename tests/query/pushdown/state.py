"""Build the state in which one scan is executed, without variables or cursors."""

from onedoor.model.catalog import Limits
from onedoor.query.executor.state import ExecutionState
from onedoor.query.planner.bind import BoundPlan
from onedoor.runtime import resilience
from onedoor.runtime.row_cache import Reader
from onedoor.spi.connector import Connector


def build_state(name: str, connector: Connector, limits: Limits) -> ExecutionState:
    return ExecutionState(
        readers={name: Reader(connector=resilience.wrap_connector(name, connector, limits, lambda: 0.0))},
        bound_plan=BoundPlan(variables={}, cursor_values={}, cursor_keys={}),
        scan_stats=[],
        limits=limits,
    )
