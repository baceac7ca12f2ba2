"""Run Prometheus, with the token in PROMETHEUS_TOKEN."""

import os
import sys
from datetime import UTC, datetime

from demo.data.random import NOW
from demo.servers.prometheus.app import app, build_history
from demo.servers.run import build_parser, end_with_parent, serve


def main() -> None:
    chosen = build_parser("prometheus").parse_args()
    end_with_parent(chosen.parent)
    if not (token := os.environ.get("PROMETHEUS_TOKEN")):
        sys.exit("PROMETHEUS_TOKEN is not set; set it to the token that the server shall accept")
    serve(app(build_history(chosen.scale, max(NOW, datetime.now(UTC))), token), chosen.port)


if __name__ == "__main__":
    main()
