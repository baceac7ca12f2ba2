"""Options, and the token in SLACK_TOKEN, to a running server."""

import os
import sys

from demo.servers.run import follow, options, serve
from demo.servers.slack.app import app, rates
from demo.servers.slack.workspace import workspace


def main() -> None:
    parser = options("slack")
    parser.add_argument("--rate", action="append", default=[], help="a minute: `50`, or `users.list=50`")
    chosen = parser.parse_args()
    follow(chosen.parent)
    if not (token := os.environ.get("SLACK_TOKEN")):
        sys.exit("SLACK_TOKEN is not set; set it to the token that the server shall accept")
    serve(app(token, workspace(chosen.scale), rates(chosen.rate)), chosen.port)


if __name__ == "__main__":
    main()
