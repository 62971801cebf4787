"""`python -m sincut`."""

from sincut.cli import main

if __name__ == "__main__":
    main()
