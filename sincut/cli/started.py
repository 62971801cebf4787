"""The clock of `--minutes`, which count from the start of the command; imported before anything that takes time."""

import time

STARTED = time.monotonic()
