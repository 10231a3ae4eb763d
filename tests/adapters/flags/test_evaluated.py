"""Do applications see what we moved? By the real clients: Unleash's own for Python, and OpenFeature's flagd provider.

Users are numbers, so who is in which bucket never changes from run to run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from math import sqrt
from pathlib import Path

import pytest
from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from tests.unleash.server import UnleashServer, gradual
from UnleashClient import UnleashClient

from interlock.adapters.flags.flagd_file import FlagFiles
from interlock.adapters.flags.unleash import UnleashFlags
from interlock.core.flag import Flag, FlagFile
from interlock.ports.flags import Flags

pytestmark = pytest.mark.timeout(180)  # the first test waits for Unleash to start

USERS = 4000
PATIENCE = timedelta(seconds=20)

Exposed = Callable[[], frozenset[int]]

FILE = """\
{"flags": {
  "dark": {"state": "DISABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off"},
  "last": {"state": "DISABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
    "targeting": {"fractional": [{"var": "targetingKey"}, ["off", 99], ["on", 1]]}},
  "text": {"state": "DISABLED", "variants": {"new": "grid", "old": "list"}, "defaultVariant": "old",
    "targeting": {"fractional": [["new", 1], ["old", 1]]}}
}}
"""


async def test_unleash_exposes_the_share_that_was_asked_for_and_never_lets_a_user_go_again(
    unleash: UnleashServer, tmp_path: Path
) -> None:
    flag, flags = unleash.create(gradual(100)), UnleashFlags(unleash.secret, PATIENCE)
    with client(unleash, tmp_path) as unleash_client:
        await ramp(
            flags, flag, lambda: frozenset(n for n in range(USERS) if unleash_client.is_enabled(flag.name, who(n)))
        )
    await flags.close()


async def test_a_file_exposes_the_share_that_was_asked_for_and_never_lets_a_user_go_again(tmp_path: Path) -> None:
    place = tmp_path / "flags.json"
    place.write_text(FILE)
    source = FlagFile(str(place), refresh=timedelta(milliseconds=200))
    with provider(place):
        evaluated = api.get_client()

        def have(name: str, old: bool | str, new: bool | str) -> frozenset[int]:
            ask = evaluated.get_boolean_value if isinstance(old, bool) else evaluated.get_string_value
            answers = [ask(name, old, EvaluationContext(str(number))) for number in range(USERS)]  # type: ignore[arg-type]
            return frozenset(number for number, answer in enumerate(answers) if answer == new)

        await asyncio.gather(
            ramp(FlagFiles(PATIENCE), Flag("dark", source), lambda: have("dark", False, True)),
            ramp(FlagFiles(PATIENCE), Flag("last", source), lambda: have("last", False, True)),
            ramp(FlagFiles(PATIENCE), Flag("text", source), lambda: have("text", "list", "grid")),
        )


async def ramp(flags: Flags, flag: Flag, exposed: Exposed) -> None:
    """Move the flag through a release's percentages and off, and ask who has it each time."""
    before = await flags.check(flag)
    assert exposed() == frozenset()
    had: frozenset[int] = frozenset()
    for percentage in (5, 25, 50, 100):
        await flags.taken(flag, await flags.turn_on(flag, percentage))
        have, share = exposed(), percentage / 100
        assert abs(len(have) / USERS - share) <= 4.5 * sqrt(share * (1 - share) / USERS), percentage
        assert had <= have, "whoever had it at a smaller share has it at a greater one"
        had = have
    await flags.taken(flag, await flags.turn_off(flag))
    assert exposed() == frozenset()
    assert await flags.restore(flag, before) == before


def who(number: int) -> dict[str, str]:
    return {"userId": str(number)}


@contextmanager
def client(server: UnleashServer, cache: Path) -> Iterator[UnleashClient]:
    found = UnleashClient(
        url=f"{server.url}/api",
        app_name="shop",
        custom_headers={"Authorization": server.tokens["production"]},
        refresh_interval=1,
        disable_metrics=True,
        cache_directory=str(cache),
    )
    found.initialize_client()
    try:
        yield found
    finally:
        found.destroy()


@contextmanager
def provider(place: Path) -> Iterator[None]:
    api.set_provider(
        FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=str(place), deadline_ms=200)
    )
    try:
        yield
    finally:
        api.shutdown()
        api.clear_providers()
