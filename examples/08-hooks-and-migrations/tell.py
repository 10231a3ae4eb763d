"""Write down what became of a rollout, each thing once: the key tells whether it is known already."""

import json
import sys
from pathlib import Path

facts, log = json.load(sys.stdin), Path("told.log")
known = log.read_text() if log.exists() else ""
if facts["key"] not in known:
    why = f" ({facts['reason']})" if "reason" in facts else ""
    log.write_text(f"{known}{facts['when']} {facts['version']}: {facts['outcome']}{why} [{facts['key']}]\n")
print("written down")
