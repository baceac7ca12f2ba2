"""Run both services of Azure, with the keys in AZURE_FILES_KEY and AZURE_BLOB_KEY."""

import os
import sys
from base64 import b64decode

from demo.servers.azure.app import app, build_accounts
from demo.servers.run import build_parser, end_with_parent, serve
from demo.servers.slack.app import parse_rates

KEYS = ("AZURE_FILES_KEY", "AZURE_BLOB_KEY")


def main() -> None:
    parser = build_parser("azure")
    parser.add_argument("--rate", action="append", default=[], help="calls a minute: `50`, or `blob=50`")
    parser.add_argument("--page", type=int, default=5000, help="the most entries one page of a listing holds")
    chosen = parser.parse_args()
    end_with_parent(chosen.parent)
    for name in KEYS:
        if not os.environ.get(name):
            sys.exit(f"{name} is not set; set it to the key that the server shall accept")
    files_key, blob_key = (b64decode(os.environ[name]) for name in KEYS)
    serve(app(build_accounts(files_key, blob_key, chosen.scale, chosen.page), parse_rates(chosen.rate)), chosen.port)


if __name__ == "__main__":
    main()
