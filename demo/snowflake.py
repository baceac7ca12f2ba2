"""Options to a server that speaks Snowflake's protocol: database ACME, schema ANALYTICS, any login."""

import logging
import warnings
from fractions import Fraction

from demo.serving import follow, options, serve
from demo.world.sizes import size
from demo.world.warehouse import statements

DATABASE = "ACME"
SCHEMA = "ANALYTICS"


def main() -> None:
    chosen = options("snowflake").parse_args()
    follow(chosen.parent)
    warnings.filterwarnings("ignore", message="Arrow output on a DB-API result")
    # imports for most of a second, so only in a process that serves
    from fakesnow.server import app

    logging.getLogger("fakesnow.server").setLevel(logging.WARNING)
    seed(chosen.scale)
    serve(app, chosen.port)


def seed(scale: Fraction | float) -> None:
    """Into the server's own memory, before it listens."""
    from fakesnow.server import shared_fs

    with shared_fs.connect(DATABASE, SCHEMA) as connection:
        for statement in statements(size("customer", scale)):
            connection.cursor().execute(statement)


if __name__ == "__main__":
    main()
