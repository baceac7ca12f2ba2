"""Gives back what it was given; and a file of it."""

import json
import pathlib
import sys

given = json.load(sys.stdin)
pathlib.Path("files/echo.txt").write_text(given["text"], encoding="utf-8")
print("out")
print("err", file=sys.stderr)
print(json.dumps(given))
