"""``python -m bench``."""

import sys

from bench.cli import main

# Spawned workers import the main module again: they must not run it.
if __name__ == "__main__":
    sys.exit(main())
