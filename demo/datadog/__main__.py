"""Options, and the keys in DATADOG_API_KEY and DATADOG_APP_KEY, to a running server."""

import os
import sys

from demo.datadog.server import app, here
from demo.serving import follow, options, serve
from demo.slack.rates import rates


def main() -> None:
    parser = options("datadog")
    parser.add_argument("--rate", action="append", default=[], help="a minute: `50`, or `logs=5`")
    chosen = parser.parse_args()
    follow(chosen.parent)
    keys = os.environ.get("DATADOG_API_KEY"), os.environ.get("DATADOG_APP_KEY")
    if not keys[0] or not keys[1]:
        sys.exit("DATADOG_API_KEY and DATADOG_APP_KEY are not set; set them to the keys that the server shall accept")
    serve(app(keys[0], keys[1], here(chosen.scale), rates(chosen.rate)), chosen.port)


if __name__ == "__main__":
    main()
