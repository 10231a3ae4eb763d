"""How does a command that only looks ask the keeper? As by `line`, but it waits itself: an event loop takes 30 ms."""

from __future__ import annotations

import json
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any


class Unreachable(Exception):
    """No keeper answers on the socket."""


class Rejected(Exception):
    """The keeper answered with an error: `kind` is its name, the message its words."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


def inquire(path: Path, verb: str, within: timedelta) -> Any:
    """Ask the keeper one thing; raise Unreachable when nobody answers in time, Rejected when it says no."""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(within.total_seconds())  # for each part: what the keeper knows comes in a few
            line.connect(str(path))
            line.sendall(question(verb, {}))
            with line.makefile("rb") as answer:
                said = answer.readline()
    except OSError as error:
        raise unreachable(path, error) from error
    return result(path, said)


def question(verb: str, arguments: dict[str, Any]) -> bytes:
    """Write a question as the line that is sent."""
    return json.dumps({"verb": verb, "arguments": arguments}).encode() + b"\n"


def result(path: Path, said: bytes) -> Any:
    """Read the line that was answered; raise Unreachable when there was none, Rejected when it says no."""
    if not said:
        raise Unreachable(f"the keeper on {path} hung up")
    answer = json.loads(said)
    if "error" in answer:
        raise Rejected(answer["error"]["kind"], answer["error"]["message"])
    return answer["result"]


def unreachable(path: Path, error: Exception) -> Unreachable:
    """Say that nobody answers, and why."""
    return Unreachable(f"the keeper does not answer on {path}: {error or 'no answer in time'}")
