"""Options, and the service account's key in DRIVE_KEY, to a running server."""

import os
import sys
import time

from demo.servers.drive.app import app
from demo.servers.drive.auth import LIVES, authority
from demo.servers.drive.store import store
from demo.servers.run import follow, options, serve
from demo.servers.slack.app import rates


def main() -> None:
    parser = options("drive")
    parser.add_argument("--rate", action="append", default=[], help="a minute: `50`, or `files.list=50`")
    parser.add_argument("--token-seconds", type=int, default=LIVES - 1, help="how long a token is good for")
    chosen = parser.parse_args()
    follow(chosen.parent)
    if not (key := os.environ.get("DRIVE_KEY")):
        sys.exit("DRIVE_KEY is not set; set it to the JSON of the service account that the server shall know")
    kept = store(chosen.scale)
    signs = authority(key, frozenset(kept.names), chosen.token_seconds, time.time)
    serve(app(signs, kept, rates(chosen.rate)), chosen.port)


if __name__ == "__main__":
    main()
