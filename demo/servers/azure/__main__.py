"""Options, and the accounts' keys in AZURE_FILES_KEY and AZURE_BLOB_KEY, to a running server of both services."""

import os
import sys
from base64 import b64decode

from demo.servers.azure.app import accounts, app
from demo.servers.run import follow, options, serve
from demo.servers.slack.app import rates

KEYS = ("AZURE_FILES_KEY", "AZURE_BLOB_KEY")


def main() -> None:
    parser = options("azure")
    parser.add_argument("--rate", action="append", default=[], help="calls a minute: `50`, or `blob=50`")
    parser.add_argument("--page", type=int, default=5000, help="the most entries one page of a listing holds")
    chosen = parser.parse_args()
    follow(chosen.parent)
    for name in KEYS:
        if not os.environ.get(name):
            sys.exit(f"{name} is not set; set it to the key that the server shall accept")
    files_key, blob_key = (b64decode(os.environ[name]) for name in KEYS)
    serve(app(accounts(files_key, blob_key, chosen.scale, chosen.page), rates(chosen.rate)), chosen.port)


if __name__ == "__main__":
    main()
