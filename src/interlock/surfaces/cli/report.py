"""How did a run go, as a text that can be handed on?"""

from __future__ import annotations

import argparse
from pathlib import Path

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import output


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(usage=parser.error)
    parser.add_argument("run", nargs="?", metavar="RUN", help="default: the newest")
    parser.add_argument("--incident", action="store_true", help="the incident report of a run that was taken back")
    parser.add_argument(
        "--html",
        nargs="?",
        const="-",
        metavar="FILE",
        help="as one page for a browser or a printer, with charts; without FILE to standard output",
    )
    output(parser)


async def run(call: Call) -> Exit:
    options = call.options
    if options.html is not None and call.json:
        options.usage("expected --html or -o json, found both")
    incident, repository = options.incident, repository_of(call) if options.incident else None
    if options.html is not None:
        return _written(call, await call.app.page(options.run, incident=incident, repository=repository))
    text = await call.app.report(options.run, incident=incident, repository=repository)
    _say(call, text.rstrip("\n"))
    if call.json:
        told = await call.app.report_document(options.run, incident=incident, repository=repository)
        run = (await call.app.view(options.run)).run
        call.document({"type": "report", "run": run, "incident": incident, "text": text, "report": told})
    return Exit.OK


def _say(call: Call, text: str) -> None:
    """Write the report; on a terminal what a person let pass although a gate was closed stands there in red."""
    head, found, rest = text.partition("### EXCEPTIONS\n")
    if not (found and call.live) or call.console.no_color:
        call.say(text)
        return
    from rich.text import Text

    loud, blank, rest = rest.partition("\n\n")
    call.say(head.removesuffix("\n"))
    call.console.print(Text(f"{found}{loud}", "bold red"), soft_wrap=True)
    call.say(f"{blank.removeprefix(chr(10))}{rest}")


def _written(call: Call, page: str) -> Exit:
    if call.options.html == "-":
        call.say(page.rstrip("\n"))
        return Exit.OK
    file = Path(call.options.html)
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        call.warn(f"error: {file} cannot be written: {error.strerror}")
        return Exit.ERROR
    call.say(f"{file} is written: {len(page.encode()):,} bytes, no scripts, no network")
    return Exit.OK


def repository_of(call: Call) -> Path | None:
    """Return the repository that releases come from; None where no file says it: a report needs none."""
    from interlock.config import FileError

    try:
        source = call.file.artefact
    except FileError:
        return None
    return Path(source.repository or source.root)
