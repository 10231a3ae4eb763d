"""How does a shell complete what is typed behind `interlock`?"""

from __future__ import annotations

import argparse
import re

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit

SHELLS = ("bash", "zsh", "fish")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help="bash, zsh or fish")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = """where it goes:
  bash   interlock completion bash > ~/.local/share/bash-completion/completions/interlock
  zsh    interlock completion zsh > "${fpath[1]}/_interlock"
  fish   interlock completion fish > ~/.config/fish/completions/interlock.fish"""


def run(call: Call) -> Exit:
    import shtab  # imported late: no other command needs it

    from interlock.surfaces.cli.parser import everything

    call.say(shtab.complete(_with_files(everything()), shell=call.options.shell).rstrip())
    return Exit.OK


def _with_files(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Have files and directories completed where an option takes them, in this parser and those of its commands."""
    import shtab

    for action in parser._actions:  # argparse has no other way to walk a parser
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _with_files(command)
        elif isinstance(action.metavar, str) and re.fullmatch("FILE|DIR|RECORDING", action.metavar):
            action.complete = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE  # type: ignore[attr-defined]
    return parser
