"""Give tests metadata databases with all tables: the first of a kind is migrated, the others are copies of it."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from demo.servers.postgresql import PostgresqlServer
from onedoor.storage.database import open_database

FILE_NAME = "state.sqlite"
TEMPLATE = "migrated"
PEPPER = b"a pepper that no secret is digested with"


def copy_sqlite(folder: Path) -> str:
    """Return the URL of the folder's database, which is made where there is none."""
    path = folder / FILE_NAME
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(migrate_sqlite())
    return f"sqlite:///{path}"


@cache
def migrate_sqlite() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / FILE_NAME
        open_database(f"sqlite:///{path}", PEPPER).close()
        return path.read_bytes()


def copy_postgresql(server: PostgresqlServer, database: str) -> str:
    """Return the URL of a database made anew."""
    if not server.has(TEMPLATE):
        open_database(server.emptied(TEMPLATE), PEPPER).close()
    return server.copied(database, TEMPLATE)
