"""What does the YAML say, and where in the file does each part of it stand?

The tree of nodes is read, not the finished values: it has a line and a column for every key and value, lets us report
all duplicate keys at once, and keeps texts as they were written (a variable `010` stays "010").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Loc = tuple[str | int, ...]

# Under these keys every value is text, whatever YAML would make of it.
_TEXTS = frozenset({"env", "fields"})
_TAG = "tag:yaml.org,2002:"
_PLAIN = frozenset("str int float bool null timestamp map seq merge".split())
_DEEPEST = 40
_MOST = 20_000


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in the file, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in the file: where it stands, in which setting, and what to do."""

    file: str
    place: Place
    where: str
    text: str

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        return f"{self.file}:{self.place.line}:{self.place.column}: {where}{self.text}"


class FileError(Exception):
    """The file cannot be used; `errors` are all the reasons found, in the order of the file."""

    def __init__(self, *errors: Problem | str) -> None:
        self.errors = errors
        super().__init__("\n".join(str(error) for error in errors))


@dataclass(frozen=True, slots=True)
class Document:
    """The content of one file, with the places of its keys and values."""

    file: str
    data: Any
    keys: dict[Loc, Place] = field(default_factory=dict)
    values: dict[Loc, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def problem(self, loc: Loc, text: str, *, at_key: bool = False) -> Problem:
        """Report what is wrong with the setting at `loc`, at the place nearest to it."""
        return Problem(self.file, self.place(loc, at_key=at_key), spell(loc), text)

    def place(self, loc: Loc, *, at_key: bool = False) -> Place:
        """Return where the setting stands; where it is not written, the nearest setting around it."""
        first, second = (self.keys, self.values) if at_key else (self.values, self.keys)
        for end in range(len(loc), 0, -1):
            place = first.get(loc[:end]) or second.get(loc[:end])
            if place:
                return place
        return Place(1, 1)


def parse(text: str, file: str) -> Document:
    """Read YAML 1.2; raise FileError when it is none. Duplicate keys are among the document's `problems`."""
    yaml = YAML(typ="rt")
    try:
        root = yaml.compose(text)
    except MarkedYAMLError as problem:
        raise FileError(_syntax(problem, file)) from problem
    except YAMLError as problem:
        raise FileError(Problem(file, Place(1, 1), "", f"expected YAML: {str(problem).splitlines()[0]}")) from problem
    if root is None:
        return Document(file, None)
    document = Document(file, None)
    data = _Reader(document).read(root, ())
    return Document(file, data, document.keys, document.values, document.problems)


def spell(loc: Loc) -> str:
    """Write the way to a setting as people do: ``strategy.canary.weights[1]``."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _syntax(problem: MarkedYAMLError, file: str) -> Problem:
    mark = problem.problem_mark or problem.context_mark
    place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
    words = ", ".join(part for part in (problem.context, problem.problem) if part)
    return Problem(file, place, "", f"expected YAML: {words}".replace("'\\t'", "a tab (indent by spaces)"))


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns nodes into plain values, noting the place of each."""

    document: Document

    def read(self, node: Node, loc: Loc, *, text: bool = False) -> Any:
        """Return the value of a node at `loc`; `text` keeps scalars as they are written."""
        self.document.values[loc] = _place(node)
        if len(loc) > _DEEPEST or len(self.document.values) > _MOST:  # an alias to a node around itself never ends
            reason = f"expected at most {_MOST} values in {_DEEPEST} levels, found more: does an alias contain itself?"
            raise FileError(Problem(self.document.file, _place(node), "", reason))
        if _kind(node) not in _PLAIN:
            self._wrong(node, loc, f"expected plain YAML, found the tag {node.tag}")
            return None
        match node:
            case MappingNode():
                return dict(self._items(node, loc, text=text))
            case SequenceNode():
                return [self.read(item, (*loc, i), text=text) for i, item in enumerate(node.value)]
            case ScalarNode():
                return _scalar(node, text=text)
        raise TypeError(f"a node of YAML is a mapping, a list or a scalar, not {node!r}")

    def _items(self, node: MappingNode, loc: Loc, *, text: bool) -> Iterator[tuple[str, Any]]:
        seen: dict[str, Place] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self._wrong(key_node, loc, "expected a key, found a mapping or a list")
                continue
            key, place = str(key_node.value), _place(key_node)
            if key in seen:
                self._wrong(key_node, (*loc, key), f"expected each key once, found it again: see line {seen[key].line}")
                continue
            seen[key] = self.document.keys[(*loc, key)] = place
            yield key, self.read(value_node, (*loc, key), text=text or key in _TEXTS)
            if value_node.value == "" and value_node.start_mark.line > key_node.start_mark.line:
                self.document.values[(*loc, key)] = place  # nothing is written: YAML finds it where the next key begins

    def _wrong(self, node: Node, loc: Loc, text: str) -> None:
        self.document.problems.append(Problem(self.document.file, _place(node), spell(loc), text))


def _place(node: Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def _kind(node: Node) -> str:
    return str(node.tag).removeprefix(_TAG)


def _scalar(node: ScalarNode, *, text: bool) -> Any:
    kind, value = _kind(node), str(node.value)
    if kind == "null":
        return None
    if text:
        return value
    if kind == "bool":
        return value.lower() == "true"
    if kind == "int":
        return _integer(value.replace("_", ""))
    if kind == "float":
        return float(value.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    return value


def _integer(text: str) -> int:
    """Read an integer by YAML 1.2: ``010`` is ten, ``0o10`` is eight."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    for prefix, radix in (("0x", 16), ("0o", 8), ("0b", 2)):
        if digits.lower().startswith(prefix):
            return sign * int(digits[2:], radix)
    return sign * int(digits)
