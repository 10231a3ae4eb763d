"""What in the file does not fit together, though each part of it may be right?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from interlock.config.document import Document, Problem
from interlock.core.release import Entrance

_EVERYWHERE = frozenset({"0.0.0.0", "::"})
_ENVIRONMENTS = "environments"

Mapping = dict[str, Any]


def across(document: Document) -> Iterator[Problem]:
    """Yield what is wrong between parts of the file. Reads it as it stands, so that a wrong part hides no other."""
    data: Mapping = document.data if isinstance(document.data, dict) else {}
    yield from _twice(document, data)
    environments = data.get(_ENVIRONMENTS)
    if not isinstance(environments, dict):
        return
    blocks = {name: block for name, block in environments.items() if isinstance(block, dict)}
    yield from _stages(document, [*environments])
    yield from _commands(document, data, blocks)
    yield from _clashes(document, data, blocks)
    for name, block in blocks.items():
        yield from _twice(document, block, _ENVIRONMENTS, name)


def _stages(document: Document, names: list[str]) -> Iterator[Problem]:
    if not names:
        text = "expected staging and production, found none: add staging: {port: …} and production: {port: …}"
        yield document.problem((_ENVIRONMENTS,), text)
    if len(names) == 1:
        add = "production: {port: …} after it" if names == ["staging"] else "staging: {port: …} before it"
        found = f"expected at least two environments, found only {names[0]}"
        text = f"{found}: the last one is production and takes only what passed staging; add {add}"
        yield document.problem((_ENVIRONMENTS, names[0]), text, at_key=True)
    for name in names[:-1]:
        if name in ("production", "prod"):
            text = f"expected {name} as the last environment, found {names[-1]} after it: this is the order of release"
            yield document.problem((_ENVIRONMENTS, name), text, at_key=True)


def _commands(document: Document, data: Mapping, blocks: dict[str, Mapping]) -> Iterator[Problem]:
    without = [name for name, block in blocks.items() if "command" not in block and not _as_image_says(data, block)]
    if "command" in data or not without:
        return
    text = "expected the key command (how to start an instance, such as [python, app.py]), found nothing"
    if len(without) == len(blocks):
        yield document.problem((), text)
        return
    for name in without:
        yield document.problem((_ENVIRONMENTS, name), text, at_key=True)


def _as_image_says(data: Mapping, block: Mapping) -> bool:
    """Say whether an environment runs containers, whose image has a command of its own."""
    platform = block.get("platform", data.get("platform"))
    return platform == "docker" or (platform is None and ("docker" in block or bool({"docker", "image"} & data.keys())))


def _clashes(document: Document, data: Mapping, blocks: dict[str, Mapping]) -> Iterator[Problem]:
    taken: dict[str, tuple[object, object]] = {}
    for name, block in blocks.items():
        port, address = block.get("port"), block.get("address", data.get("address", Entrance(0).address))
        for other, (other_port, other_address) in taken.items():
            if not _alike(blocks[other], block, data):
                continue
            if port == other_port and (address == other_address or _EVERYWHERE & {str(address), str(other_address)}):
                text = f"expected a port of its own, found {port}, which {other} has already"
                yield document.problem((_ENVIRONMENTS, name, "port"), text)
                break
        if port is not None:
            taken[name] = port, address


def _alike(one: Mapping, other: Mapping, data: Mapping) -> bool:
    """Say whether a port of the one could be the other's: on the same machines, and not shared by name and path."""
    common = data.get("hosts")
    if not _shared(one.get("hosts", common), other.get("hosts", common)):
        return False
    mine, theirs = one.get("front"), other.get("front")
    if not isinstance(mine, dict) or not isinstance(theirs, dict):
        return True
    return all(_shared(mine.get(key), theirs.get(key)) for key in ("names", "paths"))


def _shared(one: Any, other: Any) -> bool:
    """Say whether two lists have anything in common; no list is everything."""
    if not isinstance(one, list) or not isinstance(other, list):
        return not one or not other or one == other
    return bool({*map(str, one)} & {*map(str, other)})


def _twice(document: Document, block: Mapping, *loc: str) -> Iterator[Problem]:
    env, secrets = block.get("env"), block.get("secrets")
    if isinstance(env, dict) and isinstance(secrets, dict):
        for name in secrets.keys() & env.keys():
            yield document.problem((*loc, "secrets", name), f"expected {name} once, found it in env too", at_key=True)
