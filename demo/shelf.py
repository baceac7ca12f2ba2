"""A folder and a scale to the files that the company keeps on its own machine."""

import os
import shutil
from fractions import Fraction
from pathlib import Path

import pyarrow
from pyarrow import parquet

from demo.world.shelf import Paper, papers

SHELF = "shelf"
"""What the folder is called, below that of the demo."""
PATTERN = "customers/{customer_id:int}/{folder}/{name}"


def shelve(folder: Path, scale: Fraction | float = 1) -> Path:
    """Written once, and renamed into place when it is whole."""
    shelf, begun = folder / SHELF, folder / f"{SHELF}.new"
    if not shelf.exists():
        shutil.rmtree(begun, ignore_errors=True)
        for paper in papers(scale):
            write(begun / paper.path, paper)
        begun.rename(shelf)
    return shelf


def write(path: Path, paper: Paper) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if paper.table:
        write_table(path, paper)
    else:
        path.write_text(paper.text, encoding="utf-8")
    at = paper.modified.timestamp()
    os.utime(path, (at, at))


def write_table(path: Path, paper: Paper) -> None:
    names, pieces = zip(*paper.table, strict=True)
    parquet.write_table(pyarrow.table({"sku": names, "pieces": pyarrow.array(pieces, pyarrow.int32())}), path)
