"""Which commands are there, and what may be written behind each?

argparse, because typer takes 40 ms more to import (100 where no bytecode is kept), and `interlock get` has 250 for all.
A command's module is imported when its name is on the command line, and says itself what may follow it (`arguments`)
and what is done (`run`, which returns the exit status, or is a coroutine that does).
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, NoReturn

COMMANDS: dict[str, dict[str, str]] = {
    "Begin": {
        "init": "write a commented interlock.yaml",
        "setup": "put Interlock on the machines of the file, and say what they lack",
        "demo": "see a release go out, and a bad one taken back, on this machine",
        "explain": "say what a setting of the file means, and what holds without it",
        "schema": "write the JSON Schema of the file, for editors",
        "claude": "let Claude Code deploy: agent, skills and hook, in a project or as a plugin",
        "agents": "write AGENTS.md: how any agent deploys this project",
    },
    "Release": {
        "check": "ask every gate now",
        "plan": "show what a deploy would do; change nothing",
        "build": "build the image of a version, push it, and say its digest",
        "simulate": "see how often the plan would be wrong, with made-up traffic",
        "deploy": "release a version through staging to production, and follow it",
        "rollback": "go back to an earlier release",
        "retry": "release the version of an earlier run again",
        "flag": "see, move or roll out a feature flag by itself",
    },
    "Look": {
        "get": "show a run: steps, weights, evidence, what it waits for",
        "status": "say in one line how a run stands",
        "history": "list the newest rollouts",
        "report": "write the deployment report, or the incident report; also as HTML",
        "incident": "list what was taken back, and write the cause",
        "logs": "show what happened in a run, and what its instances wrote",
        "backtest": "judge a recorded rollout again, by these criteria or others",
    },
    "Order": {
        "approve": "let a run go on that waits for a person",
        "acknowledge": "say that you, who are on call, know of a run",
        "pause": "stop before the next step; safety goes on watching",
        "resume": "go on after a pause",
        "promote": "end the present watch, unproven, on your name",
        "abort": "go back now",
    },
    "Keep": {
        "quarantine": "list or release the releases that failed a verdict",
        "lock": "let no deploy start for a while; going back always works",
        "unlock": "let deploys start again",
        "audit": "list everything that changed anything; find what was tampered with",
        "mcp": "let agents in, by the Model Context Protocol",
        "completion": "print what makes a shell complete these commands",
        "doctor": "see whether this machine and this project are well",
        "serve": "answer links in messages, and programs, over HTTP",
        "down": "stop everything that this project runs",
    },
}
"""Every command by what it is for, in the order of the help."""

_ABOUTS = {name: about for group in COMMANDS.values() for name, about in group.items()}
_MODULES = {**dict.fromkeys(COMMANDS["Order"].keys() - {"approve", "acknowledge"}, "orders"), "unlock": "lock"}
_ABOUT = "Deploys services by steps that watch real traffic, and takes a bad release back by itself."
_AFTER = "`interlock COMMAND --help` says what may follow a command. Exit status: docs/cli.md."
_DURATION = re.compile(r"(\d+)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Parser(argparse.ArgumentParser):
    """argparse, which says what is near to what it does not know."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        unknown = re.search(r"(COMMAND: )?invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if unknown:
            import difflib  # imported late: who writes what is known need not wait for it

            known = list(_ABOUTS) if unknown[1] else re.findall(r"[\w-]+", unknown[3])
            near = difflib.get_close_matches(unknown[2], known, 1)
            message = f'there is no "{unknown[2]}"' + (f'; did you mean "{near[0]}"?' if near else "")
            message += "" if near else f"; there are {', '.join(known)}"
        self.exit(2, f"error: {message}. See: {self.prog} --help\n")


class _Top(Parser):
    """The parser of `interlock` itself: its help is the list of commands."""

    def format_help(self) -> str:
        lines = ["usage: interlock [--state DIR] [-f FILE] [--no-color] COMMAND …", "", _ABOUT]
        for purpose, commands in COMMANDS.items():
            lines += ["", purpose, *(f"  {name:<11} {about}" for name, about in commands.items())]
        options = [
            ("--state DIR", "where this project's state is (or INTERLOCK_STATE)"),
            ("-f, --file FILE", "the interlock.yaml (default: here, or in a directory above)"),
            ("--no-color", "plain text (or NO_COLOR)"),
            ("--version", "say which Interlock this is"),
        ]
        lines += ["", "With every command", *(f"  {name:<16} {about}" for name, about in options), "", _AFTER]
        return "\n".join(lines) + "\n"


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line; exit with status 2 and one line when it cannot be understood."""
    top = _parser(set(argv) & _ABOUTS.keys())  # to make the parsers of all commands takes 10 ms
    options = top.parse_args(argv)
    if options.command is None and not options.which:
        top.print_help(sys.stderr)
        raise SystemExit(2)
    return options


def everything() -> argparse.ArgumentParser:
    """Return the parser that knows every command: what a shell completes is made from it."""
    return _parser(_ABOUTS.keys())


def _parser(names: Collection[str]) -> argparse.ArgumentParser:
    top = _Top(prog="interlock")
    _globals(top, default=None)
    top.add_argument("--version", dest="which", action="store_true")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", prog=top.prog, parser_class=Parser)
    for name, about in ((name, about) for name, about in _ABOUTS.items() if name in names):
        command = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        _globals(command, default=argparse.SUPPRESS)
        module_of(name).arguments(command)
    return top


def module_of(command: str) -> Any:
    """Import the module of a command."""
    return importlib.import_module(f"interlock.surfaces.cli.{_MODULES.get(command, command)}")


def output(parser: argparse.ArgumentParser) -> None:
    """Let a command answer programs too."""
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="json: one document, or one a line"
    )


def duration(text: str) -> timedelta:
    """Read ``90s``, ``15m`` or ``1h30m``."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise argparse.ArgumentTypeError(f'expected a duration such as "90s", "15m" or "1h30m", found "{text}"')
    return timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in parts))


def count(text: str) -> int:
    """Read a number of lines: 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'expected a number from 1 on, found "{text}"')
    return int(text)


def _globals(parser: argparse.ArgumentParser, default: Any) -> None:
    parser.add_argument("--state", metavar="DIR", default=default, help=argparse.SUPPRESS)
    parser.add_argument("-f", "--file", metavar="FILE", default=default, help=argparse.SUPPRESS)
    parser.add_argument(
        "--no-color", action="store_true", default=default if default is not None else False, help=argparse.SUPPRESS
    )
