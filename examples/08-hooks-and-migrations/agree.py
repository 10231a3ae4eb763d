"""Agree, unless there is a file called veto; what it says is the reason."""

import os
import sys
from pathlib import Path

veto = Path("veto")
if veto.exists():
    sys.exit(veto.read_text().strip())
weight = os.environ.get("INTERLOCK_WEIGHT_TO")
print(f"{os.environ['INTERLOCK_VERSION']} may have {weight} %" if weight else "go ahead")
