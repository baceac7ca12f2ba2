"""Lock requirements/*.in into *.txt: names, versions and hashes, without the address they came from."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
OPTIONS = ("--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-header", "--no-annotate", "-q")


def main() -> None:
    """Write the lock files; `uv` must be on the path."""
    environment = {name: value for name, value in os.environ.items() if name != "PIP_FIND_LINKS"}
    for name in ("server", "demo", "development", "fakesnow"):
        lock_file = HERE / f"{name}.txt"
        subprocess.run(
            ["uv", "pip", "compile", *OPTIONS, HERE / f"{name}.in", "-o", lock_file], env=environment, check=True
        )
        if "://" in lock_file.read_text():
            sys.exit(f"`{lock_file.name}` names an address; take it out")


if __name__ == "__main__":
    main()
