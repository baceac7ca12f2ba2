"""Options, and the token in SLACK_TOKEN, to a running server."""

import os
import sys

from demo.serving import follow, options, serve
from demo.slack.rates import rates
from demo.slack.server import app
from demo.slack.workspace import workspace


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
