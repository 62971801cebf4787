"""`python -m sincut`."""

from sincut.cli import main

main()
