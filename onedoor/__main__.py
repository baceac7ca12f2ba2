"""Run the command line as `python -m onedoor`."""

from onedoor.cli.main import main

main(prog_name="python -m onedoor")
