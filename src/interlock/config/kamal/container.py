"""What do Kamal's image, builder and container settings become?"""

from __future__ import annotations

import re
from typing import Any

from interlock.config.kamal.made import Setting, Settings
from interlock.config.kamal.source import marked

_SIZE = re.compile(r"(\d+)([bkmg]?)b?", re.IGNORECASE)
_UNITS = {"": "B", "b": "B", "k": "KiB", "m": "MiB", "g": "GiB"}
_SINGLE = {"cpus": "cpus", "user": "user", "read-only": "read_only", "init": "init", "pids-limit": "pids"}
_SEVERAL = {"cap-add": "cap_add", "cap-drop": "cap_drop", "add-host": "hosts", "tmpfs": "tmpfs", "network": "networks"}


def image(made: Settings) -> None:
    """Say which image is released, and how it is built."""
    source = made.source
    name, server = source.take("image"), source.take("registry", "server")
    if name is None:
        return
    block: dict[str, Any] = {"name": f"{server}/{name}" if server else str(name)}
    said = [made.from_("image"), *([made.from_("registry", "server")] if server else [])]
    block |= _built(made)
    registry = _registry(made)
    made.common["image"] = Setting(block | ({"registry": registry} if registry else {}), tuple(said))
    made.remark("registry", why="log in with `docker login` (or podman's) where images are built and pulled")
    made.remark("builder", why="images are built with the docker, buildah or podman that is there (`interlock build`)")


def _built(made: Settings) -> dict[str, Any]:
    source = made.source
    block: dict[str, Any] = {}
    context = source.peek("builder", "context", default=".")
    if not marked(context) and (re.match(r"[a-z+]+:|git@|/", str(context)) or ".." in str(context).split("/")):
        made.remark("builder", "context", why="the context is a part of the project: Interlock builds what lies there")
    for key in ("context", "dockerfile", "target"):
        if (value := source.take("builder", key)) is not None and (key != "context" or value == context):
            block[key] = str(value)
    if args := source.take("builder", "args"):
        block["args"] = {str(key): str(value) for key, value in args.items()}
    if secrets := source.take("builder", "secrets"):
        block["secrets"] = {str(one): f"env:{one}" for one in secrets}
    architectures = source.take("builder", "arch")
    if architectures is not None:
        listed = architectures if isinstance(architectures, list) else [architectures]
        block["platforms"] = [f"linux/{one}" for one in listed]
    return block


def _registry(made: Settings) -> dict[str, str]:
    """Return who we are there, when both can be said: a password that stands in the file is not copied."""
    source = made.source
    user, password = source.peek("registry", "username"), source.peek("registry", "password")
    named = password[0] if isinstance(password, list) and password else None
    user = user[0] if isinstance(user, list) and user else user
    if not named or not user or isinstance(source.peek("registry", "username"), list):
        return {}
    source.take("registry", "username")
    source.take("registry", "password")
    return {"user": str(user), "password": f"env:{named}"}


def container(made: Settings) -> None:
    """Say what a container is told besides; where there is no image there is none."""
    source = made.source
    block: dict[str, Any] = {"port": source.take("proxy", "app_port", default=80)}
    said = [made.from_("proxy", "app_port") if source.peek("proxy", "app_port") else "Kamal's default for app_port"]
    if (kept := source.take("retain_containers")) is not None:
        block["keep_images"] = kept
        said.append(made.from_("retain_containers", note="images of so many proven releases stay"))
    block |= _volumes(made, said) | _log(made, said) | _labels(made, said) | _options(made, said)
    if "image" in made.common:
        made.common["docker"] = Setting(block, tuple(said))


def _volumes(made: Settings, said: list[str]) -> dict[str, Any]:
    given = made.source.peek("volumes", default=[])
    listed = given if isinstance(given, list) else []
    named = [str(one) for one in listed if re.match(r"(/|[A-Za-z0-9])[^:]*:/", str(one)) and not marked(one)]
    if len(named) < len(listed):
        made.remark("volumes", why="a volume is `NAME:/path` or `/host/path:/path`: write these so yourself")
        return {}
    if not named:
        return {}
    made.source.take("volumes")
    said.append(made.from_("volumes", note="old and new instances share them while both run"))
    return {"volumes": named}


def _log(made: Settings, said: list[str]) -> dict[str, Any]:
    source = made.source
    driver, options = source.take("logging", "driver"), source.take("logging", "options")
    if driver is None and not options:
        return {}
    said.append(made.from_("logging"))
    texts = {str(key): str(value) for key, value in (options or {}).items()}
    return {"log": {"driver": str(driver or "json-file")} | ({"options": texts} if texts else {})}


def _labels(made: Settings, said: list[str]) -> dict[str, Any]:
    labels = made.source.take("labels")
    if not labels:
        return {}
    said.append(made.from_("labels"))
    return {"labels": {str(key): str(value) for key, value in labels.items()}}


def _options(made: Settings, said: list[str]) -> dict[str, Any]:
    """Carry over those options of `docker run` that have a setting of their own."""
    source = made.source
    block: dict[str, Any] = {}
    for kamal, ours in _SINGLE.items():
        if (value := source.take("options", kamal)) is not None:
            block[ours] = value if ours != "user" else str(value)
    for kamal, ours in _SEVERAL.items():
        if (value := source.take("options", kamal)) is not None:
            block[ours] = [str(one) for one in (value if isinstance(value, list) else [value])]
    for limit in _as_list(source.take("options", "ulimit")):
        name, _, value = limit.partition("=")
        block.setdefault("ulimits", {})[name] = value
    if (memory := _size(source.peek("options", "memory"))) is not None:
        source.take("options", "memory")
        health = made.common["health"]
        words = (*health.said, made.from_("options", "memory", note="an instance that holds more is started anew"))
        made.common["health"] = Setting({**health.value, "memory_max": memory}, words)
    if block:
        said.append(made.from_("options"))
    made.remark("options", why="there is no such setting: see `docker` in docs/file.md for what a container is told")
    return block


def _as_list(value: Any) -> list[str]:
    return [] if value is None else [str(one) for one in (value if isinstance(value, list) else [value])]


def _size(value: Any) -> str | None:
    """Write Docker's ``512m`` as ``512MiB``: its units are powers of 1024."""
    match = _SIZE.fullmatch(str(value)) if value is not None else None
    return f"{match[1]}{_UNITS[match[2].lower()]}" if match else None
