"""Run Slack, with the token in SLACK_TOKEN."""

import os
import sys

from demo.servers.run import build_parser, end_with_parent, serve
from demo.servers.slack.app import app, parse_rates
from demo.servers.slack.workspace import build_workspace


def main() -> None:
    parser = build_parser("slack")
    parser.add_argument("--rate", action="append", default=[], help="a minute: `50`, or `users.list=50`")
    chosen = parser.parse_args()
    end_with_parent(chosen.parent)
    if not (token := os.environ.get("SLACK_TOKEN")):
        sys.exit("SLACK_TOKEN is not set; set it to the token that the server shall accept")
    serve(app(token, build_workspace(chosen.scale), parse_rates(chosen.rate)), chosen.port)


if __name__ == "__main__":
    main()
