"""Ask for the rows of files as a client does: what a file holds is shown, or null with an error that says so."""

from pathlib import Path

import pyarrow
from pyarrow import parquet

from onedoor.connectors.files.folder import FolderOptions, connect
from onedoor.errors import ErrorCode
from tests import acme

PATTERN = "{folder}/{name}"


async def test_what_a_file_holds_that_json_cannot_is_null_with_an_error(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    flawed = {"id": [1, 2], "raw": [b"\xff", b"ann"], "share": [0.5, float("nan")]}
    parquet.write_table(pyarrow.table(flawed), tmp_path / "tables" / "a.parquet")
    parquet.write_table(pyarrow.table({"id": [3]}), tmp_path / "tables" / "b.parquet")
    folder = await connect(FolderOptions(path=tmp_path, pattern=PATTERN))
    engine = acme.open_engine(acme.build_catalog({**acme.sources(), "folder": folder}))
    result = await acme.ask(engine, "{folderFiles(orderBy: [{name: ASC}]) {nodes {name rows(first: 9)}}}", "sales")
    await folder.close()

    assert result.data == {
        "folderFiles": {
            "nodes": [
                {
                    "name": "a.parquet",
                    "rows": [{"id": 1, "raw": None, "share": 0.5}, {"id": 2, "raw": "ann", "share": None}],
                },
                {"name": "b.parquet", "rows": [{"id": 3}]},
            ]
        }
    }
    assert [(error.code, error.path, error.message) for error in result.errors] == [
        (
            ErrorCode.SOURCE_INVALID,
            ("folderFiles", "nodes", 0, "rows"),
            "`FolderFile.rows` shows null for bytes that are no text in UTF-8 (`raw`), "
            "a number that is not finite (`share`) in the column `rows`",
        )
    ]
