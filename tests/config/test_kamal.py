"""Does a Kamal deploy.yml become an interlock.yaml that can be read, and is nothing of it lost without a word?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interlock.config import FileError, load
from interlock.config.document import parse
from interlock.config.file import File
from interlock.config.kamal import Converted, convert
from interlock.core.release import Front, Tls

FULL = """\
service: Hey_App
image: acme/hey
labels: {team: payments}
servers:
  web:
    hosts: [192.0.2.1, {192.0.2.2: [eu, backup]}]
    cmd: bin/rails server -p '80 81'
    env: {clear: {ROLE: web}}
    proxy: {app_port: 3000}
    options: {memory: 512m, cpus: 2}
  workers: {hosts: [192.0.2.3], cmd: bin/jobs}
proxy:
  ssl: true
  hosts: [shop.example.com, www.example.com]
  path_prefix: /api
  forward_headers: true
  healthcheck: {path: /alive, interval: 3, timeout: 2.5}
  response_timeout: 10
  buffering: {requests: true, max_request_body: 40000000}
  logging: {request_headers: [Cache-Control]}
  run: {http_port: 8080}
registry: {server: ghcr.io, username: acme, password: hunter2secret}
builder:
  arch: [amd64, arm64]
  context: ./app
  dockerfile: Dockerfile.production
  target: final
  args: {RUBY: "3.4"}
  secrets: [GITHUB_TOKEN]
  cache: {type: registry}
  remote: ssh://builder
env:
  clear: {DB_HOST: 192.0.2.4, ANSWER: 42, PORT: 3000}
  secret: [RAILS_MASTER_KEY, "DB_PASSWORD:MAIN_DB_PASSWORD"]
  tags: {eu: {REGION: fra}}
volumes: ["/data:/rails/storage"]
asset_path: /rails/public/assets
error_pages_path: public
boot: {limit: 25%, wait: 2}
ssh: {user: app, port: 2222, proxy: gate.example.com, keys: ["~/.ssh/kamal"]}
sshkit: {max_concurrent_starts: 10}
logging: {driver: local, options: {max-size: 10m}}
accessories:
  db:
    image: postgres:16
    host: 192.0.2.4
    env: {clear: {POSTGRES_USER: app, POSTGRES_PASSWORD: letmein}, secret: [REPLICATION_KEY]}
aliases: {console: app exec -i "bin/rails c"}
deploy_timeout: 45
drain_timeout: 20
readiness_delay: 8
retain_containers: 3
require_destination: true
minimum_version: 2.4.0
hooks_path: .kamal/hooks
secrets_path: .kamal/secrets
brand_new_setting: {of: tomorrow}
"""
SMALL = "service: shop\nimage: acme/shop\nservers: {web: {hosts: [192.0.2.1]}}\n"


def converted(place: Path, text: str, **destinations: str) -> Converted:
    for name, more in {"deploy.yml": text, **{f"deploy.{n}.yml": t for n, t in destinations.items()}}.items():
        (place / name).write_text(text if name == "deploy.yml" else more)
    return convert(place / "deploy.yml")


def read(place: Path, made: Converted) -> File:
    (place / "interlock.yaml").write_text(made.text)
    return load(place / "interlock.yaml")


def leaves(value: Any, *way: str) -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            for key, item in value.items():
                yield from leaves(item, *way, str(key))
        case list():
            for item in value:
                yield from leaves(item, *way)
        case _:
            yield ".".join(way), str(value)


def test_every_value_stands_in_the_new_file_as_a_setting_or_with_why_not(tmp_path: Path) -> None:
    made = converted(tmp_path, FULL)
    flat = re.sub(r"[\s#]+", " ", made.text)
    lost = [(name, value) for name, value in leaves(parse(FULL, "x").data) if not known(flat, name, value)]
    assert lost == []


def known(text: str, name: str, value: str) -> bool:
    if name in ("registry.password", "accessories.db.env.clear.POSTGRES_PASSWORD"):
        return f"{name}: (not copied" in text and value not in text
    parts = value.split(":") if name == "env.secret" else [value]
    said = name in text or name.removeprefix("servers.web.") in text  # a role's settings are laid over the common ones
    return said or all(part in text or _milliseconds(part) in text for part in parts)


def _milliseconds(value: str) -> str:
    return f"{float(value) * 1000:g}ms" if re.fullmatch(r"[0-9.]+", value) else value


def test_what_is_made_can_be_read_and_means_the_same(tmp_path: Path) -> None:
    made = converted(tmp_path, FULL)
    assert made.to_do == ()
    file = read(tmp_path, made)
    production = file.production
    entrance, configuration = production.entrance, production.configuration
    certificates = "/etc/letsencrypt/live/shop.example.com"
    assert file.service == made.service == "hey-app"
    assert entrance.hosts == ("ssh://app@192.0.2.1:2222", "ssh://app@192.0.2.2:2222")
    assert (entrance.port, entrance.address, entrance.sticky.trusted_hops) == (443, "0.0.0.0", 1)
    assert entrance.front == Front(
        ("shop.example.com", "www.example.com"),
        ("/api",),
        True,
        Tls(f"{certificates}/fullchain.pem", f"{certificates}/privkey.pem"),
        80,
    )
    assert configuration.command == ("bin/rails", "server", "-p", "80 81")
    assert dict(configuration.environment) == {"DB_HOST": "192.0.2.4", "ANSWER": "42", "ROLE": "web"}
    assert production.references == (
        ("DB_PASSWORD", "env:MAIN_DB_PASSWORD"),
        ("RAILS_MASTER_KEY", "env:RAILS_MASTER_KEY"),
    )
    assert (configuration.readiness.path, configuration.readiness.timeout.total_seconds()) == ("/alive", 2.5)
    image, container = file.image, configuration.container
    assert image is not None and container is not None
    assert (str(image.image), image.context, image.dockerfile) == ("ghcr.io/acme/hey", "./app", "Dockerfile.production")
    assert (image.target, [*map(str, image.platforms)]) == ("final", ["linux/amd64", "linux/arm64"])
    assert image.secrets == (("GITHUB_TOKEN", "env:GITHUB_TOKEN"),) and image.arguments == (("RUBY", "3.4"),)
    assert (container.port, container.volumes, container.keep_images) == (3000, ("/data:/rails/storage",), 3)
    assert (container.log.driver, container.log.options) == ("local", (("max-size", "10m"),))
    assert (container.cpus, configuration.memory_max) == (2.0, 512 * 1024 * 1024)
    times = (configuration.start_within, configuration.drain_within, entrance.request_timeout)
    assert [one.total_seconds() for one in times] == [45, 20, 10]


def test_without_a_destination_a_staging_is_made_up_and_says_so(tmp_path: Path) -> None:
    made = converted(tmp_path, SMALL)
    file = read(tmp_path, made)
    assert [(one.name, one.entrance.port) for one in file.environments] == [("staging", 8001), ("production", 80)]
    assert "so this is made up" in made.text


def test_destinations_become_environments_with_production_last(tmp_path: Path) -> None:
    staging = "servers: {web: {hosts: [192.0.2.9]}}\nenv: {clear: {LEVEL: debug}}\nproxy: {host: staging.example.com}\n"
    production = "env: {clear: {LEVEL: warn}}\nproxy: {host: shop.example.com, ssl: true}\n"
    made = converted(tmp_path, f"{SMALL}env: {{clear: {{SHARED: one}}}}\n", production=production, staging=staging)
    file = read(tmp_path, made)
    assert [one.name for one in file.environments] == ["staging", "production"]
    assert [one.entrance.hosts for one in file.environments] == [("ssh://root@192.0.2.9",), ("ssh://root@192.0.2.1",)]
    assert [dict(one.configuration.environment)["LEVEL"] for one in file.environments] == ["debug", "warn"]
    assert {dict(one.configuration.environment)["SHARED"] for one in file.environments} == {"one"}
    assert [one.entrance.port for one in file.environments] == [80, 443]


def test_erb_is_kept_as_a_comment_and_never_evaluated(tmp_path: Path) -> None:
    text = (
        'service: shop\nimage: acme/shop\nservers: {web: {hosts: ["<%= ENV["HOST"] %>", 192.0.2.1], cmd: run}}\n'
        "<% if production? %>\nenv: {clear: {REVISION: '<%= `git rev-parse HEAD` %>', A: b}}\n<% end %>\n"
    )
    made = converted(tmp_path, text)
    file = read(tmp_path, made)
    assert dict(file.production.configuration.environment) == {"A": "b"}
    assert file.production.entrance.hosts == ("ssh://root@192.0.2.1",)
    assert "ERB is not evaluated" in made.text and "git rev-parse HEAD" in made.text and 'ENV["HOST"]' in made.text
    assert "<% if production? %>" in made.text


def test_what_only_erb_knew_is_named_as_left_to_do(tmp_path: Path) -> None:
    made = converted(tmp_path, SMALL.replace("acme/shop", "acme/<%= ENV.fetch('NAME') %>"))
    assert "#image:" in made.text and "ENV.fetch" in made.text
    assert any("image" in one or "docker" in one for one in made.to_do), made.to_do


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n- b\n", "expected Kamal's settings"),
        ("name: x\n", "expected Kamal's settings"),
        ("service: a\nservice: b\n", "expected each key once"),
        ("service: [\n", "expected YAML"),
        ("image: acme/shop\nservers: [192.0.2.1]\n", "expected the name of the service"),
        (
            "service: a\nimage: acme/shop\nservers: 192.0.2.1\n",
            "expected servers as a list, or by role, found '192.0.2.1'",
        ),
    ],
)
def test_what_is_no_deploy_yml_is_one_error_that_says_what_was_expected(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(FileError, match=re.escape(said)):
        converted(tmp_path, text)


def test_yaml_anchors_and_merge_keys_are_carried_out(tmp_path: Path) -> None:
    text = f"x-env: &common {{A: one, B: two}}\n{SMALL}env:\n  clear:\n    <<: *common\n    B: three\n"
    assert dict(read(tmp_path, converted(tmp_path, text)).production.configuration.environment) == {
        "A": "one",
        "B": "three",
    }


def test_hooks_that_lie_about_are_named_with_their_moment(tmp_path: Path) -> None:
    hooks = tmp_path / ".kamal" / "hooks"
    hooks.mkdir(parents=True)
    for name in ("pre-deploy", "docker-setup", "pre-build.sample"):
        (hooks / name).touch()
    text = converted(tmp_path, SMALL).text
    assert '{when: before-start, command: [".kamal/hooks/pre-deploy"]}' in text
    assert "docker-setup: there is no such moment" in text and "pre-build" not in text


def test_the_example_is_what_comes_of_it() -> None:
    example = Path(__file__).parents[2] / "examples" / "13-from-kamal"
    made = convert(example / "config" / "deploy.yml")
    assert made.text == (example / "interlock.yaml").read_text() and made.to_do == ()
    assert [one.name for one in load(example / "interlock.yaml").environments] == ["staging", "production"]
