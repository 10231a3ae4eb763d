"""Would this shell command change production past Interlock, or speak for a person?

A PreToolUse hook of Claude Code: reads the call as JSON on standard input and answers with a refusal that says what
to use instead, or with nothing. Python's standard library only, 3.9 or later. It keeps an agent from mistakes. What
somebody hides on purpose in a script it does not see: that is what credentials, and the server's own rules, are for.

A person turns it off with INTERLOCK_GUARD=off, or lets some of it through with
INTERLOCK_GUARD_ALLOW='docker compose up, terraform apply', in the shell that starts Claude Code.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

Words = Sequence[str]

DEEPEST = 8
"""How far into `sh -c "sh -c …"` it looks; deeper is refused."""

MOST = 1000
"""So many texts of a shell are read in one command at most; more are refused, as no answer in time would be none."""

BUILD = "the tool docker_build_push, which builds, pushes and returns the digest"
DEPLOY = "the tools plan_deployment and start_deployment; to go back abort or rollback"
FLAG = "the tool toggle_feature_flag"
PERSON = "nothing: a person types this. Tell them the exact command, then call wait_rollout"
ORDERS = "the tool of the same name, which is on record as an agent's"
ROUTES = "nothing: print the command, say what it does and how it is undone, and let a person run it"


class Rule(NamedTuple):
    """What is kept back: a program and its first words, unless an option makes it harmless."""

    programs: str
    verbs: str
    instead: str
    unless: str = ""
    only: str = ""


DRY = r"--dry-run(=client|=server)?"
CONTAINERS = "docker podman nerdctl"
KUBE = "kubectl oc"

RULES: tuple[Rule, ...] = (
    Rule(CONTAINERS + " buildah", "push|image push|manifest push", BUILD),
    Rule(CONTAINERS, "build|buildx build|buildx bake|image build", BUILD, only=r"--push(=true)?|.*type=registry.*"),
    Rule("skopeo", "copy|sync|delete", BUILD),
    Rule("crane gcrane regctl oras", "push|copy|append|mutate|tag|image copy|image mod", BUILD),
    Rule(CONTAINERS, "compose up|compose down|compose restart|compose push|compose create|compose scale", DEPLOY, DRY),
    Rule("docker-compose podman-compose", "up|down|restart|push|create|scale", DEPLOY, DRY),
    Rule(CONTAINERS, "stack deploy|stack rm|service create|service update|service scale|service rollback", DEPLOY),
    Rule(KUBE, "set|rollout restart|rollout undo|rollout pause|rollout resume", DEPLOY, DRY),
    Rule(KUBE, "apply|create|replace|patch|edit|scale|autoscale|delete|run|expose|drain|cordon", DEPLOY, DRY),
    Rule(KUBE, "argo rollouts promote|argo rollouts abort|argo rollouts set|argo rollouts undo", DEPLOY),
    Rule("kubectl-argo-rollouts", "promote|abort|set|undo|restart|retry", DEPLOY),
    Rule("helm", "upgrade|install|rollback|uninstall|delete", DEPLOY, DRY),
    Rule("helmfile", "apply|sync|destroy", DEPLOY),
    Rule("kustomize", "edit set image", DEPLOY),
    Rule("kamal", "deploy|redeploy|rollback|setup|remove|build push|build deliver|app boot|app start|app stop", DEPLOY),
    Rule("argocd", "app sync|app set|app rollback|app delete", DEPLOY),
    Rule("flux", "reconcile|suspend|resume|delete", DEPLOY),
    Rule("nomad", "job run|run|job revert|deployment promote", DEPLOY),
    Rule("fly flyctl", "deploy|scale count|scale vm|machine update", DEPLOY),
    Rule("gcloud", "run deploy|app deploy|run services update-traffic", DEPLOY),
    Rule("aws", "ecs update-service|ecs create-service|lambda update-function-code|deploy create-deployment", DEPLOY),
    Rule("terraform tofu", "apply|destroy", DEPLOY),
    Rule("pulumi", "up|destroy", DEPLOY),
    Rule("kumactl", "apply|delete", ROUTES, DRY),
    Rule("deck", "gateway sync|gateway apply|gateway reset|sync|reset", ROUTES),
    Rule("interlock", "approve|acknowledge|promote|resume|unlock|down|quarantine release|incident close", PERSON),
    Rule("interlock", "serve|remote", PERSON),
    Rule("interlock", "setup", PERSON, unless="--check"),
    Rule("interlock", "deploy|retry", DEPLOY),
    Rule("interlock", "build", BUILD, unless="--no-push"),
    Rule("interlock", "flag set", FLAG, unless="--off"),
    Rule("interlock", "flag rollout", FLAG, unless="--off|--dry-run"),
    Rule("ssh-keygen", "", PERSON, only="-Ysign|sign"),
)

PROGRAMS = frozenset(name for rule in RULES for name in rule.programs.split())

WRAPPERS = frozenset(
    "sudo doas env nohup time timeout nice ionice stdbuf setsid command builtin exec xargs parallel watch chroot "
    "unshare nsenter flock systemd-run find script strace caffeinate uv uvx pipx poetry npx run0 busybox".split()
)
"""Programs that run another one, named somewhere among their arguments."""

SHELLS = frozenset("bash sh zsh dash ksh ash fish".split())
REMOTE = frozenset("ssh eval su pdsh".split())
"""Programs whose arguments, put together, are a command."""

INTERPRETERS = re.compile(r"(python|pypy)[\d.]*|node|deno|bun|perl|ruby|php")
KEYWORDS = frozenset("! { } if then else elif fi while until do done case esac for in function coproc".split())
ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\+?=(.*)", re.DOTALL)
VARIABLE = re.compile(r"\$(?:\{[#!]?(\w+)(?::?[-=+]([^{}]*))?[^{}]*\}|([A-Za-z_]\w*|[0-9?#@*!$-]))")
ANSI = re.compile(r"\$'((?:[^'\\]|\\.)*)'?", re.DOTALL)
ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{1,4}|U[0-9a-fA-F]{1,8}|[0-7]{1,3}|.)", re.DOTALL)
REDIRECTION = re.compile(r"<<<|[<>]+[&|]?")
BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
HEREDOC = re.compile(r"<<-?(?!<)\s*(?:'([^']+)'|\"([^\"]+)\"|\\?([\w.]+))")
QUOTED = re.compile(r"'([^'\n]+)'|\"((?:[^\"\\\n]|\\.)+)\"")
SENDS = re.compile(
    r"-X(POST|PUT|PATCH|DELETE)|(POST|PUT|PATCH|DELETE)|--request=(POST|PUT|PATCH|DELETE)", re.IGNORECASE
)
BODY = re.compile(r"-d.*|--data.*|--json.*|-F.*|--form.*|-T.*|--upload-file.*|--post-(data|file).*|--body-data.*")
FLAGS_KEPT = re.compile(r"/api/admin/")
ROUTES_KEPT = re.compile(
    r":(8001|8444)/.*(upstreams|targets|services|routes|plugins|consumers|config)|/upstreams/.*/targets|/meshes/"
)


class Refused(Exception):
    """A command is kept back; the message says which, and what to use instead."""


class Reader:
    """Takes a shell's text apart: its commands as words, and texts that another shell may read as commands."""

    def __init__(self, text: str, known: dict[str, str], at: int = 0) -> None:
        self.text, self.known, self.at = text, known, at
        self.commands: list[list[str]] = []
        self.fed: list[str] = []
        self._words: list[str] = []
        self._word: list[str] = []
        self._open = self._aside = self._quoted = False
        self._heredocs: list[str] = []

    def read(self, end: str = "") -> Reader:
        """Read up to the end of the text, or behind this closing sign."""
        while self.at < len(self.text) and not (end and self.text[self.at] == end):
            self._sign(self.text[self.at])
        self._command()
        self.at += 1
        return self

    def _ahead(self, *signs: str) -> bool:
        return self.text.startswith(signs, self.at)

    def _sign(self, sign: str) -> None:
        self._quoted |= sign in "'\"\\"
        ansi = ANSI.match(self.text, self.at)
        if ansi:
            self._literal(_unescaped(ansi.group(1)))
            self.at = ansi.end()
        elif sign == "'":
            self._literal(self._until("'", 1))
        elif sign == '"':
            self._double()
        elif sign == "\\":
            self._literal(self.text[self.at + 1 : self.at + 2])
            self.at += 2
        elif sign == "#" and not self._open:
            self.at = self._next("\n")
        elif sign == "\n":
            self._command()
            self.at += 1
            self._bodies()
        elif self._put_in():
            return
        elif sign in ";&|()":
            self._command()
            self.at += 1
        elif sign in "<>":
            self._redirection()
        elif sign.isspace():
            self._end()
            self.at += 1
        else:
            self._literal(sign)
            self.at += 1

    def _put_in(self) -> bool:
        """Read what a variable, `$(…)`, `<(…)` or backquotes put in their place, if that is what stands here."""
        variable = VARIABLE.match(self.text, self.at)
        if variable:
            self._literal(self._value(variable.group(1) or variable.group(3), variable.group(2) or ""))
            self.at = variable.end()
            return True
        if not self._ahead("$(", "<(", ">(", "`"):
            return False
        end, skip = ("`", 1) if self._ahead("`") else (")", 2)
        inner = Reader(self.text, self.known, self.at + skip).read(end)
        self.at = inner.at
        self.commands += inner.commands
        self.fed += inner.fed
        self._literal(_said(inner.commands))
        return True

    def _value(self, name: str, default: str) -> str:
        """Return what a variable holds; of one that we have not seen set the name may say it, as $KUBECTL does."""
        program = next((one for one in name.lower().split("_") if one in PROGRAMS), "")
        return self.known.get(name) or default or program

    def _literal(self, text: str) -> None:
        self._word.append(text)
        self._open = True

    def _until(self, sign: str, skip: int) -> str:
        """Return what stands before the next such sign, and go behind it."""
        start = self.at + skip
        self.at = start
        end = self._next(sign)
        self.at = end + 1
        return self.text[start:end]

    def _next(self, sign: str) -> int:
        found = self.text.find(sign, self.at)
        return len(self.text) if found < 0 else found

    def _double(self) -> None:
        self._literal("")
        self.at += 1
        while self.at < len(self.text) and self.text[self.at] != '"':
            if self._ahead("\\"):
                escaped = self.text[self.at + 1 : self.at + 2]
                self._literal(escaped if escaped in '$`"\\' else "\\" + escaped)
                self.at += 2
            elif self._ahead("<", ">") or not self._put_in():
                self._literal(self.text[self.at])
                self.at += 1
        self.at += 1

    def _redirection(self) -> None:
        """Leave out where something is read from or written to, but keep what a shell would be fed."""
        if "".join(self._word).isdigit():  # the 2 of 2>file
            self._word, self._open = [], False
        self._end()
        here = HEREDOC.match(self.text, self.at)
        if here:
            self._heredocs.append(next(filter(None, here.groups())))
            self.at = here.end()
            return
        signs = REDIRECTION.match(self.text, self.at)
        self.at = signs.end() if signs else self.at + 1
        while self._ahead(" ", "\t"):
            self.at += 1
        self._aside = True

    def _bodies(self) -> None:
        """Read the texts behind `<<END` on the line before."""
        for end in self._heredocs:
            lines = self.text[self.at :].split("\n")
            last = next((at for at, line in enumerate(lines) if line.strip() == end), len(lines))
            self.fed.append("\n".join(lines[:last]))
            self.at += sum(len(line) + 1 for line in lines[: last + 1])
        self._heredocs = []

    def _end(self) -> None:
        if self._open:
            word = "".join(self._word)
            (self.fed if self._aside else self._words).extend([word] if self._quoted else _spread(word))
            self._aside = False
        self._word, self._open, self._quoted = [], False, False

    def _command(self) -> None:
        self._end()
        words, self._words, self._aside = self._words, [], False
        while words and (words[0] in KEYWORDS or ASSIGNMENT.fullmatch(words[0])):
            assigned = ASSIGNMENT.fullmatch(words[0])
            if assigned:
                self.known[assigned.group(1)] = assigned.group(2)
            words = words[1:]
        if words:
            self.commands.append(words)


class Search:
    """Looks for what is kept back in a command, and in every command that it runs."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self._left = MOST

    def look(self, text: str, depth: int = 0) -> None:
        """Raise Refused when this text of a shell has something in it that is kept back."""
        self._left -= 1
        if depth > DEEPEST or self._left < 0:
            raise Refused("There are too many commands inside one another to be read: write it plainly, or in parts.")
        reader = Reader(text.replace("\\\n", ""), self.known).read()
        for words in reader.commands:
            self.see(words, depth)
        if any(_reads_commands(words) for words in reader.commands):
            for words in reader.commands:
                reader.fed += [*words[1:], " ".join(words[1:])]
            for fed in reader.fed:
                self.look(fed, depth + 1)
        for words in reader.commands:
            if "xargs" in map(_name, words):
                more = [word for others in reader.commands if others is not words for word in others[1:]]
                self.see([*words, *more], depth)

    def see(self, words: Words, depth: int) -> None:
        """Raise Refused when this command, or one among its arguments, is kept back."""
        while words and not words[0].strip():  # a variable that holds nothing
            words = words[1:]
        if not words:
            return
        words = [*words[0].split(), *words[1:]]
        self._one(words, depth)
        if _name(words[0]) in WRAPPERS | REMOTE:
            for at in range(1, len(words)):
                self._one(words[at:], depth)

    def _one(self, words: Words, depth: int) -> None:
        name, rest = _program(words)
        check(name, rest)
        if name in SHELLS or name in ("env", "script", "flock", "su"):
            for at in range(1, len(rest)):
                if re.fullmatch(r"-\w*[cS]|--(command|split-string)", rest[at - 1]):
                    self.look(rest[at], depth + 1)
        if name in REMOTE:
            self.look(" ".join(rest), depth + 1)
            for at, word in enumerate(rest):  # where the address ends is not known
                if not word.startswith("-"):
                    self.look(" ".join(rest[at + 1 :]), depth + 1)
        if INTERPRETERS.fullmatch(name):
            for found in (found for text in rest for found in QUOTED.finditer(text)):
                self.look(found.group(1) or found.group(2), depth + 1)


def check(name: str, rest: Words) -> None:
    """Raise Refused when a program with these arguments is kept back."""
    _rules(name, rest)
    if name in ("curl", "wget", "http", "https", "xh"):
        _requests(name, rest)


def _rules(name: str, rest: Words) -> None:
    allowed = [one.strip() for one in os.environ.get("INTERLOCK_GUARD_ALLOW", "").split(",")]
    for rule in RULES:
        if name not in rule.programs.split() or "--help" in rest or not _applies(rule, rest):
            continue
        for verbs in rule.verbs.split("|"):
            said = f"{name} {verbs}".strip()
            if leads(rest, verbs.split()) and said not in allowed:
                raise Refused(f"`{said}` would act past Interlock. Instead: {rule.instead}")


def _applies(rule: Rule, rest: Words) -> bool:
    if rule.unless and any(re.fullmatch(rule.unless, word) for word in rest):
        return any(word in ("--dry-run=none", "--dry-run=false") for word in rest)
    return not rule.only or any(re.fullmatch(rule.only, word) for word in rest)


def leads(rest: Words, verbs: Words) -> bool:
    """Whether a program's arguments begin with these words, options and what may be their values aside."""
    if not verbs:
        return True
    value = False
    for at, word in enumerate(rest):
        if word.startswith("-"):
            value = "=" not in word
            continue
        if word == verbs[0] and leads(rest[at + 1 :], verbs[1:]):
            return True
        if not value:
            return False
        value = False
    return False


def _requests(name: str, rest: Words) -> None:
    """Keep back what writes to a gateway's, a mesh's or a flag server's own interface."""
    if not any(SENDS.fullmatch(word) or (name in ("curl", "wget") and BODY.fullmatch(word)) for word in rest):
        return
    if "-G" in rest or "--get" in rest:
        return
    for word in rest:
        if FLAGS_KEPT.search(word):
            raise Refused(f"`{name}` would move flags past Interlock. Instead: {FLAG}")
        if ROUTES_KEPT.search(word):
            raise Refused(f"`{name}` would change routes. Instead: {ROUTES}")


def _reads_commands(words: Words) -> bool:
    """Whether this is a shell that reads what it is to do from its input, here or elsewhere."""
    name = _name(words[0])
    operands = [word for word in words[1:] if not word.startswith("-")]
    if name in WRAPPERS:
        return bool(operands) and _name(operands[-1]) in SHELLS
    return name == "ssh" or (name in SHELLS and not operands)


def _spread(word: str) -> list[str]:
    """Return the words that `{a,b}` in a word stands for."""
    words = [word]
    for _ in range(10):
        found = BRACES.search(words[-1]) if len(words) < 100 else None
        if found is None:
            break
        spread = []
        for one in words:
            group = BRACES.search(one)
            parts = group.group(1).split(",") if group else [""]
            spread += [one[: group.start()] + part + one[group.end() :] for part in parts] if group else [one]
        words = spread
    return words


def _said(commands: list[list[str]]) -> str:
    """Return what `$(…)` puts in its place, where that can be known."""
    last = commands[-1] if commands else []
    if last[:1] in (["echo"], ["printf"]):
        return " ".join(last[1:])
    return last[-1] if last[:1] in (["which"], ["command"], ["type"]) else ""


def _program(words: Words) -> tuple[str, Words]:
    """Return what is run, and with what: `python3 -m interlock` is interlock."""
    name, rest = _name(words[0]), words[1:]
    if INTERPRETERS.fullmatch(name) and "-m" in rest:
        module = list(rest[list(rest).index("-m") + 1 :])
        if module[:1] == ["interlock"]:
            return "interlock", module[1:]
    return name, rest


def _name(word: str) -> str:
    return re.sub(r"\.exe$", "", word.rsplit("/", 1)[-1])


def _unescaped(text: str) -> str:
    """Return what stands between the quotes of `$'…'` as a shell reads it."""
    return ESCAPE.sub(lambda found: _sign_of(found.group(1)), text)


def _sign_of(code: str) -> str:
    try:
        if code[0] in "xuU":
            return chr(int(code[1:], 16))
        return chr(int(code, 8)) if code[0] in "01234567" else {"n": "\n", "t": "\t", "r": "\r"}.get(code, code)
    except (ValueError, OverflowError):
        return code


def answer(call: object) -> Iterator[str]:
    """Yield the reason for which this call of a tool is refused; nothing where it is not."""
    given = call.get("tool_input") if isinstance(call, dict) else None
    command = given.get("command") if isinstance(given, dict) else None
    if not isinstance(command, str):
        return
    try:
        Search().look(command)
    except Refused as refused:
        yield str(refused)


def main(read: Callable[[], str] = sys.stdin.read) -> int:
    """Answer one call."""
    if os.environ.get("INTERLOCK_GUARD", "").lower() == "off":
        return 0
    try:
        reasons = list(answer(json.loads(read())))
    except Exception as error:  # not to have understood is no reason to let it through
        reasons = [f"Interlock's hook could not read this command ({type(error).__name__}): write it more plainly"]
    for reason in reasons:
        decision = {
            "hookEventName": "PreToolUse",
            "permissionDecision": "deny",
            "permissionDecisionReason": reason,
        }
        print(json.dumps({"hookSpecificOutput": decision}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
