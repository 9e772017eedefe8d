"""`python -m hrdsl`: the command line."""

import sys

from .cli.main import entry

if __name__ == "__main__":
    sys.exit(entry())
