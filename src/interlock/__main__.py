"""What does `python -m interlock` run? The same as the command `interlock`."""

from __future__ import annotations

import sys

from interlock.surfaces.cli import main

if __name__ == "__main__":
    sys.exit(main())
