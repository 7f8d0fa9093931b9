"""``python -m deepmot_lib``: the command ``deepmot``."""

import sys

from .commands import main

if __name__ == "__main__":
    sys.exit(main())
