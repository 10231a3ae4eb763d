"""Where flags are kept, for tests: each kind can make a flag, have a person change it, and count what was written."""

from __future__ import annotations

import itertools
import json
from abc import ABC, abstractmethod
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.unleash.server import UnleashServer, gradual, place

from interlock.adapters.flags.flagd_file import FlagFiles
from interlock.adapters.flags.unleash import UnleashFlags
from interlock.adapters.memory_flags import US, MemoryFlags, stood
from interlock.core.flag import Flag, FlagFile, FlagSource
from interlock.ports.flags import Flags

BRIEFLY = timedelta(milliseconds=200)


class Kept(ABC):
    """One kind: its `port` is what is tested."""

    port: Flags
    source: FlagSource

    @abstractmethod
    def create(self, percentage: int, *, on: bool) -> Flag:
        """Make a flag that goes to so many percent."""

    @abstractmethod
    def jammed(self) -> Flag:
        """Make a flag that is on and cannot be moved safely."""

    @abstractmethod
    def by_hand(self, flag: Flag, percentage: int) -> None:
        """Have a person give it to so many percent."""

    @abstractmethod
    def writes(self, flag: Flag) -> int:
        """Return how often it was changed."""

    def unknown(self) -> Flag:
        """Return a flag that there is not."""
        return Flag("nobody-knows-it", self.source)

    async def close(self) -> None:
        """End what is open; nothing is, by default."""
        return None


class InUnleash(Kept):
    """Kept by a real Unleash."""

    def __init__(self, server: UnleashServer) -> None:
        self.server = server
        self.source = server.source(refresh=BRIEFLY)
        self.port = self.flags = UnleashFlags(server.secret, timedelta(seconds=20))

    def create(self, percentage: int, *, on: bool) -> Flag:
        constraint = {"contextName": "country", "operator": "IN", "values": ["ch", "de"]}
        variants = [{"name": n, "weight": 1000, "weightType": "variable", "stickiness": "default"} for n in "cba"]
        strategy = gradual(percentage, title="ramp", constraints=[constraint], variants=variants)
        return Flag(self.server.create(strategy, on=on).name, self.source)

    def jammed(self) -> Flag:
        return Flag(self.server.create(gradual(10), gradual(20, group="other"), on=True).name, self.source)

    def by_hand(self, flag: Flag, percentage: int) -> None:
        patch = [{"op": "replace", "path": "/parameters/rollout", "value": str(percentage)}]
        (one,) = self.server.strategies(flag.name)
        self.server.ask("PATCH", f"{place(flag.name)}/strategies/{one['id']}", patch)

    def writes(self, flag: Flag) -> int:
        return len(self.server.events(flag.name))

    async def close(self) -> None:
        await self.flags.close()


class InFile(Kept):
    """Kept in a file."""

    def __init__(self, directory: Path) -> None:
        self.place = directory / "flags.json"
        self.place.write_text('{"flags": {}}')
        self.source = FlagFile(str(self.place), refresh=BRIEFLY)
        self.port = FlagFiles(timedelta(seconds=20))
        self._numbers = itertools.count()

    def create(self, percentage: int, *, on: bool) -> Flag:
        shares = {"fractional": [["on", percentage], ["off", 100 - percentage]]}
        return self._add({"on": True, "off": False}, shares, on=on)

    def jammed(self) -> Flag:
        rule = {"if": [{"in": [{"var": "country"}, ["ch"]]}, "on", "off"]}
        return self._add({"on": True, "off": False}, rule, on=True)

    def by_hand(self, flag: Flag, percentage: int) -> None:
        content = json.loads(self.place.read_text())
        shares = [["on", percentage], ["off", 100 - percentage]]
        content["flags"][flag.name]["targeting"] = {"fractional": shares}
        self.place.write_text(json.dumps(content))

    def writes(self, flag: Flag) -> int:
        return self.place.stat().st_ino * 1000 + self.place.stat().st_mtime_ns

    def _add(self, variants: dict[str, Any], targeting: Any, *, on: bool) -> Flag:
        content, name = json.loads(self.place.read_text()), f"flag-{next(self._numbers)}"
        state = "ENABLED" if on else "DISABLED"
        content["flags"][name] = {"state": state, "variants": variants, "defaultVariant": "off", "targeting": targeting}
        self.place.write_text(json.dumps(content, indent=2))
        return Flag(name, self.source)


class InMemory(Kept):
    """Kept by what plays it in virtual time."""

    def __init__(self) -> None:
        self.source = FlagFile("memory", refresh=BRIEFLY)
        self.port = self.flags = MemoryFlags()
        self._numbers = itertools.count()

    def create(self, percentage: int, *, on: bool) -> Flag:
        flag = Flag(f"flag-{next(self._numbers)}", self.source)
        self.flags.by_hand(flag, stood(on, percentage))
        return flag

    def jammed(self) -> Flag:
        flag = Flag(f"flag-{next(self._numbers)}", self.source)
        self.flags.by_hand(flag, stood(True))
        self.flags.unmovable[flag.name] = "it has 2 active strategies: leave one"
        return flag

    def by_hand(self, flag: Flag, percentage: int) -> None:
        self.flags.by_hand(flag, stood(self.flags.flags[flag].enabled, percentage))

    def writes(self, flag: Flag) -> int:
        return sum(1 for change in self.flags.changes if change.flag == flag.name and change.who == US)
