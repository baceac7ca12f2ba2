"""Sort a file of Parquet, of whatever size, in bounded memory."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import duckdb

from onedoor.connectors.spill.duckdb import DuckDBConfig

SORTING_CONFIG: DuckDBConfig = {
    "threads": 1,
    "memory_limit": "256MB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


def sort_parquet(source: Path, target: Path, columns: Sequence[str], rows_per_group: int) -> None:
    """Write the rows of a file in the order of some columns; what memory does not hold goes beside the target."""
    order = ", ".join(f'"{column}"' for column in columns)
    name = str(target).replace("'", "''")
    with closing(duckdb.connect(config={**SORTING_CONFIG, "temp_directory": str(target.parent)})) as database:
        database.execute(
            f"COPY (SELECT * FROM read_parquet(?) ORDER BY {order}) TO '{name}' "
            f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {rows_per_group})",
            [str(source)],
        )
