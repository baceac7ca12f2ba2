"""Options, and the token in DIRECTORY_TOKEN, to a running server."""

import os
import sys

from demo.directory.rows import Rows
from demo.directory.server import app
from demo.serving import follow, options, serve


def main() -> None:
    chosen = options("directory").parse_args()
    follow(chosen.parent)
    if not (token := os.environ.get("DIRECTORY_TOKEN")):
        sys.exit("DIRECTORY_TOKEN is not set; set it to the token that the server shall accept")
    serve(app(token, Rows(chosen.scale)), chosen.port)


if __name__ == "__main__":
    main()
