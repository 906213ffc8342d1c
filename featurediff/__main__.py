"""Run the command line: `python -m featurediff`."""

from featurediff.cli import main

main()
