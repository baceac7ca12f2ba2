"""Tells what it can see: its environment, its folder, its arguments, its open files."""

import json
import os
import sys

given = json.load(sys.stdin)
seen = {
    "environment": sorted(os.environ),
    "folder": sorted(os.listdir(".")),
    "arguments": sys.argv[1:],
    "files": sorted(os.listdir("/proc/self/fd")),
}
print(json.dumps({"text": json.dumps(seen), "number": given["number"]}))
