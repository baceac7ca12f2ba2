"""Options, and the token in PROMETHEUS_TOKEN, to a running server."""

import os
import sys
from datetime import UTC, datetime

from demo.prometheus.history import history
from demo.prometheus.server import app
from demo.serving import follow, options, serve
from demo.world.sizes import NOW


def main() -> None:
    chosen = options("prometheus").parse_args()
    follow(chosen.parent)
    if not (token := os.environ.get("PROMETHEUS_TOKEN")):
        sys.exit("PROMETHEUS_TOKEN is not set; set it to the token that the server shall accept")
    serve(app(history(chosen.scale, max(NOW, datetime.now(UTC))), token), chosen.port)


if __name__ == "__main__":
    main()
