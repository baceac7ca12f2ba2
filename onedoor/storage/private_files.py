"""Keep the files that the product makes to their owner: others on the machine must not read state, records, exports."""

import logging
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from onedoor.errors import ConfigurationError

log = logging.getLogger("onedoor")

OWNER_ALONE = 0o077
"""The umask of every process: what it makes is its owner's alone."""


def restrict_to_owner(paths: Iterable[Path]) -> None:
    """Take from others the access to files and folders of an earlier release, or of another umask.

    Raises ConfigurationError where they are another user's, who must do so.
    """
    for path in paths:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & OWNER_ALONE:
                path.chmod(mode & ~OWNER_ALONE)
                log.warning("`%s` could be read by other users of this machine: it is now its owner's alone", path)
        except FileNotFoundError:
            continue
        except OSError as reason:
            raise ConfigurationError(
                f"`{path}` can be read by other users of this machine: let its owner run `chmod go= {path}`"
            ) from reason


def set_private_umask() -> int:
    """Let this process make files that are its owner's alone. Returns the umask it had."""
    return os.umask(OWNER_ALONE)


def warn_of_readable_secret(path: Path, setting: str) -> None:
    """Log where a secret that the settings name is in a file that others may read; its modes are its maker's matter."""
    if path.stat().st_mode & OWNER_ALONE:
        log.warning("`%s` is in a file that other users of this machine may read: run `chmod go= %s`", setting, path)
