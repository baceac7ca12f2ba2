"""Options, and the token in GITHUB_AUTHORIZATION, to a running server."""

import os
import sys

from demo.servers.github.app import app, rates
from demo.servers.github.shapes import account
from demo.servers.run import follow, options, serve


def main() -> None:
    parser = options("github")
    parser.add_argument("--rate", type=int, default=1_000_000, help="calls an hour; GitHub's own is 5000")
    chosen = parser.parse_args()
    follow(chosen.parent)
    if not (given := os.environ.get("GITHUB_AUTHORIZATION")):
        sys.exit("GITHUB_AUTHORIZATION is not set; set it to `Bearer` and the token that the server shall accept")
    serve(app(given.rpartition(" ")[2], account(chosen.scale), rates(chosen.rate)), chosen.port)


if __name__ == "__main__":
    main()
