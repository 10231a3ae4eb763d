"""How is an image built and pushed, so that a deployment finds it by its digest?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import output

if TYPE_CHECKING:
    from interlock.core.image import ImageSource


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "version", metavar="VERSION", nargs="?", help="a git ref; without one the context as it is on the disk"
    )
    parser.add_argument("--image", metavar="NAME", help="where it is pushed; by default image.name of interlock.yaml")
    parser.add_argument("--tag", metavar="TAG", help="let this tag name it too")
    parser.add_argument("--context", metavar="DIR", help="the directory that it is built from")
    parser.add_argument("--dockerfile", metavar="FILE", help="the Dockerfile, in the context")
    parser.add_argument("--target", metavar="STAGE", help="build this stage; by default the last one")
    parser.add_argument(
        "--build-arg", action="append", default=[], metavar="NAME=VALUE", help="a build argument, which is no secret"
    )
    parser.add_argument(
        "--secret", action="append", default=[], metavar="ID=env:NAME", help="a secret, by env:NAME or file:PATH"
    )
    parser.add_argument("--platform", action="append", metavar="OS/ARCH", help="for which machines; may be repeated")
    parser.add_argument("--builder", choices=("docker", "buildah", "podman"), help="what builds it")
    parser.add_argument("--no-push", action="store_true", help="only build: then it has no digest yet")
    parser.add_argument("--no-cache", action="store_true", help="use nothing that earlier builds left")
    parser.add_argument("--again", action="store_true", help="also when the registry has it already")
    output(parser)
    parser.set_defaults(usage=parser.error)


async def run(call: Call) -> Exit:
    from interlock.app.build import Builds

    options, source = call.options, _source(call)
    call.goes_on = "interrupted: what was pushed by then stays in the registry; nothing is released"
    built = await Builds(call.state, source, told=call.warn).docker_build_push(
        options.image or (source.image.name if source else ""),
        options.tag,
        str(Path(options.context).absolute()) if options.context else ".",
        options.dockerfile,
        _pairs(call, options.build_arg, "--build-arg NAME=VALUE"),
        options.platform,
        not options.no_push,
        ref=None if options.version in (".", "./") else options.version,
        target=options.target,
        secrets=_secrets(call),
        builder=options.builder,
        again=options.again,
        cache=False if options.no_cache else None,
    )
    if call.json:
        found = {"image": built.image, "digest": built.digest, "log": built.log, "found": built.found}
        call.document({"type": "build", **found})
    call.say(built.image if built.digest else f"{built.image}, which was not pushed and so has no digest yet")
    return Exit.OK


def _source(call: Call) -> ImageSource | None:
    """Return what the file says of its image; None where there is no file and all is said here."""
    from interlock.config import FileError

    try:
        source = call.file.image
    except FileError:
        if call.options.image is None or call.options.state is None:
            raise
        return None
    if source is None and call.options.image is None:
        call.options.usage(f"{call.file.path.name} has no `image`: name one with --image, or write it there")
    return source


def _secrets(call: Call) -> dict[str, str]:
    from interlock.config.quantity import reference

    found = {}
    for id, given in _pairs(call, call.options.secret, "--secret ID=env:NAME").items():
        try:
            kind, _, name = reference(given).partition(":")
        except ValueError as error:
            call.options.usage(f"--secret {id}: {error}")
        found[id] = f"file:{Path(name).absolute()}" if kind == "file" else given
    return found


def _pairs(call: Call, given: list[str], form: str) -> dict[str, str]:
    for one in given:
        if not one.partition("=")[0] or "=" not in one:
            call.options.usage(f"expected {form}, found something without a name or a value")
    return {name: value for name, _, value in (one.partition("=") for one in given)}
