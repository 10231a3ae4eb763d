"""How is what Kamal says written down as interlock.yaml?

The last environment is production: the destination of that name, or the file itself. Where Kamal knows no other, a
staging is made up, as Interlock releases to production only what has passed one.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlock.config.document import FileError, parse
from interlock.config.kamal.made import Setting, Settings
from interlock.config.kamal.settings import service, settings
from interlock.config.kamal.source import Source, marked, read
from interlock.config.load import NAME, understand

_PRODUCTION = ("production", "prod", "live")
_STAGING_PORT = 8001
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./@-]*|[0-9]+(ms|s|m|h|d)")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off"})
_WIDTH = 118
_HOOKS = {
    "pre-build": "before-build",
    "pre-deploy": "before-start",
    "post-deploy": "after",
}


@dataclass(frozen=True, slots=True)
class Converted:
    """The text of an interlock.yaml, and what of the old file has no counterpart.

    `remarks` are (why, what stands where); `to_do` is what the text cannot be used without.
    """

    text: str
    service: str
    remarks: tuple[tuple[str, str], ...]
    to_do: tuple[str, ...] = ()


def _usable(path: Path, source: Source) -> None:
    """Refuse what Kamal refuses too: without a name, or with servers that are none, this machine would be meant."""
    if not source.peek("service"):
        raise FileError(f"{path}: expected the name of the service, such as `service: shop`, found none")
    servers = source.peek("servers")
    if servers is not None and not isinstance(servers, (list, Mapping)) and not marked(servers):
        raise FileError(f"{source.line('servers')}: expected servers as a list, or by role, found {servers!r}")


def convert(path: Path) -> Converted:
    """Convert Kamal's file, with the destinations beside it. Raises FileError when it cannot be read."""
    own, destinations = read(path)
    if not (own.data.keys() & {"service", "image", "servers"}):
        raise FileError(f"{path}: expected Kamal's settings (service, image, servers, …), found none of them")
    for one in (own, *destinations.values()):
        _usable(path, one)
    named = service(own)
    for other in destinations.values():
        service(other)
    made = {name: settings(source) for name, source in _ordered(own, destinations).items()}
    remarks = tuple(dict.fromkeys(remark for one in made.values() for remark in one.remarks))
    hooks = _hooks(path, own)
    lines = [*_heading(path, destinations), *_setting("service", named, own), *_settings(made), *hooks, *_rest(remarks)]
    text = "\n".join(lines) + "\n"
    return Converted(text, str(named.value), remarks, tuple(_wrong(text)))


def _wrong(text: str) -> Iterator[str]:
    """Say what the reader of interlock.yaml does not take, such as what only ERB knew."""
    try:
        understand(parse(text, NAME), Path("/", NAME))
    except FileError as error:
        yield from map(str, error.errors)


def _ordered(own: Source, destinations: Mapping[str, Source]) -> dict[str, Source]:
    """Return the environments in the order of release; without destinations the file itself is production."""
    names = sorted(destinations, key=lambda name: (name in _PRODUCTION, name))
    ordered = {_name(name): destinations[name] for name in names}
    if not names or names[-1] not in _PRODUCTION:
        ordered["production"] = own
    return ordered


def _name(destination: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", destination.lower()).strip("-0123456789") or "other"


def _heading(path: Path, destinations: Mapping[str, Source]) -> list[str]:
    files = ", ".join([path.name, *(f"{path.stem}.{name}{path.suffix}" for name in destinations)])
    return [
        *_comment(
            f"Made from Kamal's {files} by `interlock init --from-kamal`. Read it once from top to bottom: above each "
            "setting stands where it comes from, and at the end, value by value, what has no counterpart here. Then: "
            "interlock plan VERSION, which changes nothing. All settings: interlock init in an empty directory."
        ),
        "",
    ]


def _settings(made: Mapping[str, Settings]) -> Iterator[str]:
    """Write what is the same everywhere at the top level, and the rest in each environment."""
    sides = list(made.values())
    shared = [
        key for key in sides[-1].common if all(_same(one.common.get(key), sides[-1].common[key]) for one in sides)
    ]
    for key in shared:
        yield from _setting(key, sides[-1].common[key], sides[-1].source)
    yield "# The environments in the order of release. What has not passed the first ones does not reach the last."
    yield "environments:"
    if len(made) == 1:
        yield from _made_up(sides[-1])
    for name, side in made.items():
        yield f"  {name}:"
        rest = {key: one for key, one in side.common.items() if key not in shared}
        for key, one in {**side.own, **rest}.items():
            yield from (f"    {line}" if line else "" for line in _setting(key, one, side.source, spaced=False))
    yield ""


def _same(one: Setting | None, other: Setting) -> bool:
    """Say whether two destinations mean the same; in which file it stands makes no difference."""
    return one is not None and one.value == other.value


def _made_up(production: Settings) -> list[str]:
    return [
        "  # Kamal has no destination here that could be a staging, so this is made up: the same hosts, another port,",
        "  # on loopback. Give it what it must not share with production (a database!), by env and secrets of its own.",
        "  staging:",
        f"    port: {_STAGING_PORT}",
    ]


def _setting(key: str, setting: Setting, source: Source, *, spaced: bool = True) -> Iterator[str]:
    for said in setting.said:
        yield from _comment(source.written(said), then="#   ")
    if marked(setting.value):
        yield "# ERB is not evaluated: write what it stands for, and take the # away."
    yield from _written(key, setting.value, source)
    if spaced:
        yield ""


def _written(key: str, value: Any, source: Source, indent: str = "") -> Iterator[str]:
    """Write a setting in one line where it fits, else key by key; a line that holds ERB becomes a comment."""
    flow = f"{indent}{key}: {_flow(value)}"
    if isinstance(value, Mapping) and value and (len(flow) > _WIDTH - 4 or key in ("env", "secrets") or marked(value)):
        alive = [item for item in value.values() if not marked(item)]
        yield f"{indent}{key}:" if alive else f"{indent}#{key}:"
        for name, item in value.items():
            yield from _written(str(name), item, source, indent + "  ")
    elif isinstance(value, list) and value and (len(flow) > _WIDTH - 4 or marked(value)):
        yield f"{indent}{key}:" if not all(marked(item) for item in value) else f"{indent}#{key}:"
        for item in value:
            yield f"{indent}  {'#' if marked(item) else ''}- {source.written(_flow(item))}"
    else:
        yield source.written(f"{indent}#{flow.lstrip()}") if marked(value) else flow


def _flow(value: Any) -> str:
    match value:
        case Mapping():
            return "{" + ", ".join(f"{_flow(name)}: {_flow(item)}" for name, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(_flow(item) for item in value) + "]"
        case str() if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
            return value
    return json.dumps(value, ensure_ascii=False)


def _hooks(path: Path, source: Source) -> Iterator[str]:
    """Name the hooks that lie about, and what each would be here; they get other variables, so none is in force."""
    given = source.take("hooks_path", default=".kamal/hooks")
    root = path.absolute().parent
    directories = [root / str(given), root.parent / str(given)]
    found = next((one for one in directories if one.is_dir()), None)
    names = [] if found is None else sorted(one.name for one in found.iterdir() if one.suffix != ".sample")
    if not names:
        if source.peek("hooks_path") is not None:
            yield from _comment(f"{source.written(str(given))} (Kamal's hooks_path) has no hooks.")
            yield ""
        return
    yield from _comment(
        f"Kamal's hooks, of {given}. They find KAMAL_VERSION and the like, which are not set here: the facts come as "
        "JSON on standard input and in variables that begin with INTERLOCK_ (docs/hooks.md). Adapt them, then:"
    )
    for name in names:
        if name in _HOOKS:
            yield f"#hooks: [{{when: {_HOOKS[name]}, command: [{_flow(f'{given}/{name}')}]}}]"
        else:
            yield f"# {given}/{name}: there is no such moment here"
    yield "# (`hooks` stands in an environment, as one list.)"
    yield ""


def _rest(remarks: Iterable[tuple[str, str]]) -> Iterator[str]:
    grouped: dict[str, list[str]] = {}
    for why, what in remarks:
        grouped.setdefault(why, []).append(what)
    if grouped:
        yield "# What has no counterpart, or another one than it seems:"
        yield "#"
    for why, whats in grouped.items():
        yield from _comment(f"{why}:", "# - ", "#   ")
        for what in whats:
            yield from _comment(what, "#     ", "#       ")
    yield from _comment(
        "Not moved either: what runs. Kamal's containers and kamal-proxy go on until you stop them; docs/from-kamal.md "
        f"says in which order. {NAME} and deploy.yml may lie side by side as long as you like."
    )


def _comment(text: str, first: str = "# ", then: str = "# ") -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=first, subsequent_indent=then, break_long_words=False, break_on_hyphens=False
    )
