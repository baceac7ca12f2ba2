"""Run Snowflake with Acme's warehouse; the user's password and OAuth tokens come from the environment."""

import logging
import os
import sys
import warnings
from fractions import Fraction

from demo.data.business import build_seed_statements
from demo.data.random import size
from demo.servers.run import build_parser, end_with_parent, serve
from demo.servers.snowflake.account import DATABASE, SCHEMA


def main() -> None:
    chosen = build_parser("snowflake").parse_args()
    end_with_parent(chosen.parent)
    if not os.environ.get("SNOWFLAKE_PASSWORD"):
        sys.exit("SNOWFLAKE_PASSWORD is not set; set it to the password that the server shall accept")
    warnings.filterwarnings("ignore", message="Arrow output on a DB-API result")
    # imports for most of a second, so only in a process that serves
    from demo.servers.snowflake.app import create_app

    logging.getLogger("fakesnow.server").setLevel(logging.WARNING)
    seed(chosen.scale)
    serve(create_app(), chosen.port)


def seed(scale: Fraction | float) -> None:
    """Fill the server's own memory before it listens."""
    from fakesnow.server import shared_fs

    with shared_fs.connect(DATABASE, SCHEMA) as connection:
        for statement in build_seed_statements(size("customer", scale)):
            connection.cursor().execute(statement)


if __name__ == "__main__":
    main()
