"""Options, and the token in PROMETHEUS_TOKEN, to a running server."""

import os
import sys
from datetime import UTC, datetime

from demo.data.random import NOW
from demo.servers.prometheus.app import app, history
from demo.servers.run import follow, options, serve


def main() -> None:
    chosen = options("prometheus").parse_args()
    follow(chosen.parent)
    if not (token := os.environ.get("PROMETHEUS_TOKEN")):
        sys.exit("PROMETHEUS_TOKEN is not set; set it to the token that the server shall accept")
    serve(app(history(chosen.scale, max(NOW, datetime.now(UTC))), token), chosen.port)


if __name__ == "__main__":
    main()
