"""requirements/*.in in, *.txt out: names, versions and hashes, no address of where they came from."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
OPTIONS = ("--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-header", "--no-annotate", "-q")


def main() -> None:
    """Needs `uv` on the path."""
    kept = {name: value for name, value in os.environ.items() if name != "PIP_FIND_LINKS"}
    for name in ("server", "demo", "development"):
        made = HERE / f"{name}.txt"
        subprocess.run(["uv", "pip", "compile", *OPTIONS, HERE / f"{name}.in", "-o", made], env=kept, check=True)
        if "://" in made.read_text():
            sys.exit(f"`{made.name}` names an address, take it out")


if __name__ == "__main__":
    main()
