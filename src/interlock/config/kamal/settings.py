"""What does each setting of Kamal's become in interlock.yaml, and what is to be said of it?

One function for each part of a deploy.yml; each takes what it deals with and returns settings, with the words that
stand above them. What has no counterpart is a remark.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

from interlock.config.kamal.container import container, image
from interlock.config.kamal.made import Setting, Settings
from interlock.config.kamal.source import Source, marked


def settings(source: Source) -> Settings:
    """Turn one destination into settings; every value of it is dealt with afterwards."""
    made = Settings(source)
    role = _role(made)
    for key in ("proxy", "logging", "labels", "options"):
        source.lift(key, *role)
    image(made)
    _command(made, role)
    _servers(made, role)
    _entrance(made)
    _variables(made, role)
    _health(made)
    _times(made)
    container(made)
    _elsewhere(made, role)
    made.remark(why="not known to this converter")
    why = "ERB is a program, and is not run: see whether what it surrounds should hold"
    made.remarks += [(why, text) for text in source.code]
    return made


def service(source: Source) -> Setting:
    """Return the service's name as it can stand in interlock.yaml."""
    given = source.take("service", default="")
    name = re.sub(r"[^a-z0-9-]+", "-", str(given).lower()).strip("-0123456789")[:40].rstrip("-") or "service"
    said = [f"Kamal's service ({source.line('service')})"]
    if name != given:
        said.append(f"it was called {source.written(str(given))}; here a name has small letters, digits and hyphens")
    return Setting(name, tuple(said))


# --- servers


def _role(made: Settings) -> tuple[str | int, ...]:
    """Return the way to the role that serves requests; the others have no counterpart."""
    source = made.source
    servers = source.peek("servers", default=[])
    if not isinstance(servers, dict):
        return ("servers",)
    primary = str(source.take("primary_role", default="web"))
    chosen = primary if primary in servers else next(iter(servers), primary)
    for role in servers:
        if role != chosen:
            made.remark(
                *("servers", role),
                why=f"the role {role} serves no requests: Interlock releases what does. Give it an interlock.yaml of "
                "its own, or leave it with Kamal",
            )
    return ("servers", chosen)


def _servers(made: Settings, role: tuple[str | int, ...]) -> None:
    source = made.source
    named = role if isinstance(source.peek(*role), list) else (*role, "hosts")
    listed = source.take(*named, default=[])
    ssh = {key: source.take("ssh", key) for key in ("user", "port") if source.peek("ssh", key) is not None}
    user, port = ssh.get("user", "root"), ssh.get("port")
    hosts, tagged = [], []
    for one in listed if isinstance(listed, list) else [listed]:
        host, tags = next(iter(one.items())) if isinstance(one, dict) and one else (one, None)
        hosts.append(f"ssh://{user}@{host}{f':{port}' if port else ''}")
        if tags is not None:
            tagged.append(f"{host}: {tags}")
    if hosts:
        note = "the state and the keeper live on the first; each has its own Envoy. See docs/hosts.md"
        made.common["hosts"] = Setting(hosts, (made.from_(*named, note=note),))
    if tagged:
        what = f"tags {'; '.join(tagged)} ({source.line(*named)})"
        made.remarks.append(("all hosts of an environment are alike: they have no tags", what))
    made.remark("ssh", why="Interlock runs the system's ssh: write it into ~/.ssh/config, under Host")
    made.remark("sshkit", why="there is no SSHKit: all hosts are asked at once, each over one connection")


def _command(made: Settings, role: tuple[str | int, ...]) -> None:
    source = made.source
    given = source.take(*role, "cmd")
    if given is None:
        return
    said = [made.from_(*role, "cmd", note="argv, not through a shell")]
    try:
        argv = shlex.split(str(given))
    except ValueError:
        argv = ["sh", "-c", str(given)]
        said.append("its quotes do not match, so a shell has to read it")
    made.common["command"] = Setting(argv, tuple(said))


# --- where users come in


def _entrance(made: Settings) -> None:
    source, said = made.source, [made.from_("proxy", note="the port is shared by name and path (docs/tls.md)")]
    names = _list(source.take("proxy", "host")) + _list(source.take("proxy", "hosts"))
    paths = _list(source.take("proxy", "path_prefix")) + _list(source.take("proxy", "path_prefixes"))
    strip = source.take("proxy", "strip_path_prefix", default=True)
    redirect = source.take("proxy", "ssl_redirect", default=True)
    front: dict[str, Any] = {"names": names} if names else {}
    if paths:
        front |= {"paths": paths, "strip": bool(strip)}
    tls, words = _tls(made, names)
    if tls:
        front |= {"tls": tls} | ({"redirect": 80} if redirect else {})
    made.own["port"] = Setting(443 if tls else 80, ("kamal-proxy listens on 80 and 443",))
    made.own["address"] = Setting("0.0.0.0")
    if front:
        made.own["front"] = Setting(front, (*said, *words))
    _forwarded(made)
    _not_proxied(made)


def _tls(made: Settings, names: list[str]) -> tuple[dict[str, str], list[str]]:
    source, ssl = made.source, made.source.peek("proxy", "ssl")
    where = made.from_("proxy", "ssl")
    name = names[0] if names and not marked(names[0]) else "NAME"
    match ssl:
        case dict():
            pems = " and ".join(str(source.take("proxy", "ssl", key)) for key in ("certificate_pem", "private_key_pem"))
            said = f"{where}: Kamal writes its secrets {pems} to each host; put them into these files there"
            directory = "/etc/interlock/tls"
            return {"certificate": f"{directory}/certificate.pem", "key": f"{directory}/key.pem"}, [said]
        case True:
            source.take("proxy", "ssl")
            said = (
                f"{where}: kamal-proxy fetches certificates itself; Interlock reads files, again whenever they change"
            )
            files = {"certificate": f"/etc/letsencrypt/live/{name}/fullchain.pem"}
            return files | {"key": f"/etc/letsencrypt/live/{name}/privkey.pem"}, [
                said,
                "(certbot, lego or acme.sh write them)",
            ]
    made.remark("proxy", "ssl", why="no TLS is asked for")
    return {}, []


def _forwarded(made: Settings) -> None:
    if made.source.take("proxy", "forward_headers"):
        note = "one proxy before ours is believed about the user's address"
        said = made.from_("proxy", "forward_headers", note=note)
        made.common["sticky"] = Setting({"source_address": True, "trusted_hops": 1}, (said,))


def _not_proxied(made: Settings) -> None:
    remark = made.remark
    remark("proxy", "buffering", why="Envoy streams: no request and no answer is buffered whole, none is limited")
    remark("proxy", "logging", why="no request is logged with its headers; cut requests are (docs/envoy.md)")
    remark("proxy", "run", why="there is no kamal-proxy to run: each host has an Envoy, which Interlock looks after")


# --- variables


def _variables(made: Settings, role: tuple[str | int, ...]) -> None:
    source = made.source
    env: dict[str, str] = {}
    secrets: dict[str, str] = {}
    lines: list[str] = []
    for place in (("env",), (*role, "env")):
        given = source.peek(*place)
        if not isinstance(given, dict):
            continue
        lines.append(source.line(*place))
        for tag in source.peek(*place, "tags", default={}) or {}:
            made.remark(*place, "tags", tag, why="all hosts of an environment have the same variables")
        structured = bool(given.keys() & {"clear", "secret", "tags"})
        source.take(*place)
        clear = (given.get("clear") or {}) if structured else given
        for name, value in clear.items():
            env[str(name)] = "" if value is None else str(value)
            secrets.pop(str(name), None)
        for one in (given.get("secret") or []) if structured else []:
            name, _, other = str(one).partition(":")
            secrets[name] = f"env:{other or name}"
            env.pop(name, None)
    if port := env.pop("PORT", None):
        why = "Interlock itself says by PORT where an instance listens"
        made.remarks.append((why, f"env.PORT: {port} ({lines[0]})"))
    if env:
        made.common["env"] = Setting(env, (f"Kamal's env ({', '.join(lines)})",))
    if secrets:
        path = made.source.take("secrets_path", default=".kamal/secrets")
        said = (
            f"Kamal's env.secret ({', '.join(lines)}), whose values come from {path}",
            "`set -a; . <(kamal secrets print); set +a` in the shell that deploys brings the same values",
        )
        made.common["secrets"] = Setting(secrets, said)
    else:
        made.remark("secrets_path", why="no variable of the service is a secret")


# --- health and times


def _health(made: Settings) -> None:
    source, place = made.source, ("proxy", "healthcheck")
    check: dict[str, Any] = {"http": source.take(*place, "path", default="/up")}
    said = [made.from_(*place, "path") if source.peek(*place, "path") else "Kamal's default"]
    if timeout := source.take(*place, "timeout"):
        check["timeout"] = seconds(timeout)
    made.common["health"] = Setting({"readiness": check}, tuple(said))
    made.remark(*place, "interval", why="Envoy asks every second, and five times a second while it is not well")
    made.remark("readiness_delay", why="an instance is ready when its check says so, not after a while")


def _times(made: Settings) -> None:
    source = made.source
    for kamal, ours, default in (("deploy_timeout", "start", 30), ("drain_timeout", "drain", 30)):
        given = source.take(kamal)
        said = made.from_(kamal) if given is not None else f"Kamal's default for {kamal}"
        made.common[ours] = Setting(seconds(default if given is None else given), (said,))
    given = source.take("proxy", "response_timeout")
    if given is not None:
        made.common["request_timeout"] = Setting(seconds(given), (made.from_("proxy", "response_timeout"),))


def seconds(value: Any) -> str:
    """Write Kamal's seconds as our durations; what is no number is left as it is."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return f"{number:g}s" if number == int(number) else f"{number * 1000:g}ms"


# --- what is elsewhere, or nowhere


def _elsewhere(made: Settings, role: tuple[str | int, ...]) -> None:
    remark = made.remark
    remark(
        "boot",
        why="hosts are not taken in groups: every host reaches a step before the next begins, and `strategy` says by "
        "which weights",
    )
    remark("accessories", why="accessories are not moved: they stay where they run; Kamal can go on looking after them")
    remark("aliases", why="there are no aliases: a shell has them")
    remark("asset_path", why="assets of old and new release are not merged: serve both, or from a store of their own")
    remark(*role, "asset_path", why="assets of old and new release are not merged: serve both, or from their own store")
    remark("error_pages_path", why="Envoy has no error pages of yours: without a release users get a plain 503")
    remark("require_destination", why="every environment is named in this file")
    remark("allow_empty_roles", why="an environment has hosts, or is this machine")
    remark("minimum_version", why="it is a version of Kamal")
    remark("run_directory", why="the state lies in ~/.local/state/interlock on the first host")
    remark("output", why="`interlock get -w` and the reports show what happens")
    made.source.take("hooks_path")  # hooks are named by `convert`, which knows the directory
    for key in [key for key in made.source.data if str(key).startswith("x-")]:
        made.source.take(key)  # only a place for YAML's anchors, which were carried out


def _list(value: Any) -> list[str]:
    if value is None or value == "":
        return []
    if isinstance(value, list):
        return [str(one) for one in value]
    return [part for part in re.split(r"\s*,\s*", str(value)) if part]
