"""Run Google Drive, with the service account's key in DRIVE_KEY."""

import os
import sys
import time

from demo.servers.drive.app import app
from demo.servers.drive.auth import ASSERTION_MAX_SECONDS, build_authority
from demo.servers.drive.store import build_store
from demo.servers.run import build_parser, end_with_parent, serve
from demo.servers.slack.app import parse_rates


def main() -> None:
    parser = build_parser("drive")
    parser.add_argument("--rate", action="append", default=[], help="a minute: `50`, or `files.list=50`")
    parser.add_argument(
        "--token-seconds", type=int, default=ASSERTION_MAX_SECONDS - 1, help="how long a token is good for"
    )
    chosen = parser.parse_args()
    end_with_parent(chosen.parent)
    if not (key := os.environ.get("DRIVE_KEY")):
        sys.exit("DRIVE_KEY is not set; set it to the JSON of the service account that the server shall know")
    store = build_store(chosen.scale)
    signs = build_authority(key, frozenset(store.names), chosen.token_seconds, time.time)
    serve(app(signs, store, parse_rates(chosen.rate)), chosen.port)


if __name__ == "__main__":
    main()
