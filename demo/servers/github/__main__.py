"""Run GitHub, with the token in GITHUB_AUTHORIZATION."""

import os
import sys

from demo.servers.github.app import app, build_rate
from demo.servers.github.shapes import build_organization
from demo.servers.run import build_parser, end_with_parent, serve


def main() -> None:
    parser = build_parser("github")
    parser.add_argument("--rate", type=int, default=1_000_000, help="calls an hour; GitHub's own is 5000")
    chosen = parser.parse_args()
    end_with_parent(chosen.parent)
    if not (given := os.environ.get("GITHUB_AUTHORIZATION")):
        sys.exit("GITHUB_AUTHORIZATION is not set; set it to `Bearer` and the token that the server shall accept")
    serve(app(given.rpartition(" ")[2], build_organization(chosen.scale), build_rate(chosen.rate)), chosen.port)


if __name__ == "__main__":
    main()
