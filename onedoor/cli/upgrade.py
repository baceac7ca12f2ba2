"""Upgrade a company's folder that was written for the release before."""

from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def upgrade(folder: Path) -> None:
    """Upgrade FOLDER."""
