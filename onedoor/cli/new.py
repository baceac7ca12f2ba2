"""Make an empty company: a folder that starts at once, and that `introspect` writes into."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import click

from onedoor.audit.statements import format_public_key, generate_private_key, load_key_signer
from onedoor.errors import ConfigurationError

PEPPER_FILE = "secrets/pepper"

CHECKPOINT_KEY_FILE = "secrets/checkpoint_key"

PUBLIC_KEY_FILE = "audit.pub"
"""The public half of the key, which verifies checkpoints and is no secret."""

FOLDERS = ("records", "secrets")

APP = '''\
"""Make the ASGI app of this company, for any ASGI server: `uvicorn app:app`."""

from onedoor.app import create_app

app = create_app(__file__)
'''

SETTINGS = """\
# Every setting: docs/settings.md of Onedoor. Paths are relative to this file; no secret stands in it.

[server]
host = "127.0.0.1"
port = 8000

[state]
url = "sqlite:///state.sqlite"
pepper = { file = "secrets/pepper" }

[records]
folder = "records"

# Seals the records every minute; give whoever verifies them `audit.pub`, and let `folder` be on another machine.
[records.checkpoints]
private_key = { file = "secrets/checkpoint_key" }
folder = "checkpoints"

# A source is a section; `python -m onedoor introspect` says what to write here.
# [sources.shop]
# kind = "postgresql"
# url = { env = "SHOP_URL" }
"""

GROUPS = """\
# The functional groups of this company, and the teams that answer for them: docs/groups.md of Onedoor.
# `everyone`, `audit`, `user-administration` and `access-review` are always registered.

# [owners.platform]
# contact = "platform@example.com"

# [owners."sales operations"]
# contact = "#sales-operations"

# [sales]
# purpose = "Wins customers and agrees their orders."
# owner = "sales operations"
# from = ["directory-group-of-sales"]
"""

README = """\
# A company

One GraphQL schema over its tables and systems, served by Onedoor.

    python -m onedoor check
    python -m onedoor users create ada@example.com Ada Lovelace --reason "she joins us"
    python -m onedoor keys create ada@example.com --reason "her first key"
    python -m onedoor serve

| file | holds |
|---|---|
| `schema/` | the types, one file a subject, with the groups that may see them |
| `resolvers/` | where each type's values come from |
| `jobs/` | the company's own processes |
| `groups.toml` | its functional groups |
| `onedoor.toml` | its settings |
| `app.py` | its ASGI app |

`python -m onedoor introspect sqlite:///shop.sqlite --allow everyone` writes the tables of a database into it.
Keep `secrets/pepper`: without it no key opens any more. Give `audit.pub` to whoever audits you:
`python -m onedoor audit verify --public-key audit.pub` proves that no record was changed or taken away.
"""

DOCKERFILE = """\
# The image of Onedoor, with this company in it: settings, secrets and records are mounted.
ARG ONEDOOR=onedoor
FROM ${ONEDOOR}
COPY . /company
"""

IGNORED = """\
secrets/
records/
checkpoints/
exported/
*.sqlite
__pycache__/
"""

FILES: Mapping[str, str] = {
    "app.py": APP,
    "schema/__init__.py": '"""Declare what can be queried: one file a subject."""\n',
    "resolvers/__init__.py": '"""Say where the values of each type come from: one file a subject."""\n',
    "jobs/__init__.py": '"""Declare the company\'s own processes: one file a subject."""\n',
    "groups.toml": GROUPS,
    "onedoor.toml": SETTINGS,
    "README.md": README,
    "Dockerfile": DOCKERFILE,
    ".dockerignore": IGNORED,
    ".gitignore": IGNORED,
}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def new(folder: Path) -> None:
    """Make an empty company in FOLDER, which starts at once and answers `{ me { firstName } }`.

    \b
    Example:
      python -m onedoor new acme
    """
    create_company(folder)
    click.echo(f"`{folder}` is a company. Go on with:\n")
    click.echo(f"  cd {folder}")
    click.echo('  python -m onedoor users create ada@example.com Ada Lovelace --reason "she joins us"')
    click.echo('  python -m onedoor keys create ada@example.com --reason "her first key"')
    click.echo("  python -m onedoor serve")


def create_company(folder: Path) -> None:
    """Write the files of an empty company. Raises ConfigurationError where the folder holds anything already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(f"`{folder}` is there already and holds something: name a folder that does not exist")
    try:
        for name in FOLDERS:
            (folder / name).mkdir(parents=True)
        for name, text in FILES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        _write_secret(folder / PEPPER_FILE, secrets.token_hex(32))
        private_key = generate_private_key()
        _write_secret(folder / CHECKPOINT_KEY_FILE, private_key)
        public_key = format_public_key(load_key_signer(private_key).public_key)
        (folder / PUBLIC_KEY_FILE).write_text(f"{public_key}\n", encoding="ascii")
    except OSError as reason:
        raise ConfigurationError(f"`{folder}` cannot be written to: {reason.strerror}") from reason


def _write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
