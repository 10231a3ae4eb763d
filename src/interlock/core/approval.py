"""Who may let a release go on, and how is it proven that they did?

A person signs a text that names the plan, the release, the environment and the step, and until when the word holds.
What proves it is an SSH key that the file lists: a name alone proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from interlock.core.agents import person_behind

if TYPE_CHECKING:
    from interlock.core.rollout import Approval, Rollout

NAMESPACE = "interlock-approval"
"""What `ssh-keygen -Y sign -n` is told, so that a signature made for something else is none of ours."""

_FIRST = "interlock approval 1"


@dataclass(frozen=True, slots=True)
class Policy:
    """`signers` are the lines of the file `listed_in`, as ssh-keygen has its ALLOWED SIGNERS; a plan fixes them.

    So many different people are `needed`. `not_author`: not the one who started the release. A word holds for
    `valid_for` at most after it was given.
    """

    listed_in: str
    signers: tuple[str, ...] = ()
    needed: int = 1
    not_author: bool = False
    valid_for: timedelta = timedelta(hours=4)


@dataclass(frozen=True, slots=True)
class Word:
    """What is signed."""

    plan: str
    release: str
    environment: str
    rollout: str
    step: int
    expires: datetime

    @classmethod
    def of(cls, rollout: Rollout, expires: datetime) -> Word:
        """Return the word that lets a rollout go on from its present step."""
        identity = rollout.stage.revision.release.identity
        until = expires.astimezone(UTC).replace(microsecond=0)
        return cls(rollout.plan, identity, rollout.stage.environment, rollout.id, rollout.index, until)

    def text(self) -> str:
        """Return what is signed, for people to read and for `read` to read back."""
        return (
            f"{_FIRST}\nplan {self.plan}\nrelease {self.release}\nenvironment {self.environment}\n"
            f"rollout {self.rollout}\nstep {self.step + 1}\nexpires {self.expires.isoformat()}\n"
        )


def read(text: str) -> Word:
    """Read the text of a word back; raise ValueError when it is none."""
    lines = text.splitlines()
    known = ("plan", "release", "environment", "rollout", "step", "expires")
    if len(lines) != 1 + len(known) or lines[0] != _FIRST:
        raise ValueError(f'expected a text that begins with "{_FIRST}" and has {len(known)} lines more')
    found = {}
    for name, line in zip(known, lines[1:], strict=True):
        if not line.startswith(f"{name} "):
            raise ValueError(f'expected the line "{name} …", found "{line[:60]}"')
        found[name] = line.removeprefix(f"{name} ")
    step, expires = int(found["step"]) - 1, datetime.fromisoformat(found["expires"])
    return Word(found["plan"], found["release"], found["environment"], found["rollout"], step, expires)


def refusal(word: Word, rollout: Rollout, policy: Policy, now: datetime) -> str:
    """Say why a word does not let this rollout go on from where it stands; "" when it does."""
    wanted = Word.of(rollout, word.expires)
    for name in ("plan", "release", "environment", "rollout", "step"):
        signed, here = getattr(word, name), getattr(wanted, name)
        if signed != here:
            shown = (signed + 1, here + 1) if name == "step" else (signed, here)
            return f"what was signed is for {name} {shown[0]}, and this is {name} {shown[1]}"
    if word.expires <= now:
        return f"what was signed held until {word.expires:%Y-%m-%d %H:%M:%S} UTC"
    if word.expires > now + policy.valid_for:
        return f"what was signed would hold until {word.expires:%Y-%m-%d %H:%M:%S} UTC, longer than allowed"
    return ""


def is_author(name: str, author: str) -> bool:
    """Whether a signer's name is that of who started the release: alike, or alike before the @ of an address.

    Who has an agent start it has started it.
    """
    mine, theirs = name.lower(), person_behind(author).lower()
    return theirs in (mine, mine.partition("@")[0])


def holding(approvals: tuple[Approval, ...], index: int, now: datetime) -> tuple[Approval, ...]:
    """Return the words that hold for a step at this moment, one of each person."""
    held = (one for one in approvals if one.index == index and (one.expires is None or one.expires > now))
    return tuple({one.by: one for one in held}.values())


def enough(rollout: Rollout, approvals: tuple[Approval, ...], now: datetime) -> bool:
    """Whether these words let the rollout go on from its present step."""
    policy = rollout.stage.conditions.approvals
    return policy is None or len(holding(approvals, rollout.index, now)) >= policy.needed
