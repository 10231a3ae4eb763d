"""What does a Kamal deploy.yml say, where does each part of it stand, and what of it has nobody asked for yet?

Everything in it is either taken by somebody, who says what became of it, or is left over and listed: nothing is lost
silently. ERB is not evaluated, as it is a program; what it would have written is kept as it stands, and marked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interlock.config.document import Document, FileError, Loc, parse, spell

_OUTPUT = re.compile(r"<%=-?(.*?)-?%>")
_CODE = re.compile(r"<%.*?%>", re.DOTALL)
_MARK = re.compile("⟪(\\d+)⟫")  # stands for ERB while YAML is read: no YAML has a meaning for it
_MISSING: Any = object()
_PRIVATE = re.compile("password|secret|token|key_data|private", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value, the way to it, and its line in the file (in `file`)."""

    loc: Loc
    value: Any
    file: str
    line: int

    @property
    def name(self) -> str:
        """The way to the value, as people write it."""
        return spell(self.loc)

    @property
    def shown(self) -> str:
        """The value in one line; one that may be a secret is not shown."""
        last = self.loc[-1] if self.loc else ""
        if isinstance(last, str) and _PRIVATE.search(last) and isinstance(self.value, str | int):
            return "(not copied, in case it is a secret)"
        return " ".join(str(self.value).split())


@dataclass(slots=True)
class Source:
    """One destination of Kamal's: its file over the common one, as Kamal merges them (lists are replaced)."""

    documents: tuple[Document, ...]
    data: Mapping[str, Any]
    erb: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    taken: set[Loc] = field(default_factory=set)
    moved: dict[Loc, Loc] = field(default_factory=dict)

    def lift(self, key: str, *role: str | int) -> None:
        """Lay what a role says under `key` over what holds for all, as Kamal does."""
        own, common = self.peek(*role, key), self.peek(key)
        if not isinstance(own, Mapping):
            self.take(*role, key)
            return
        self.taken.add((*role, key))
        self.data = {**self.data, key: _merged(common if isinstance(common, Mapping) else {}, own)}
        self.moved[(key,)] = (*role, key)

    def take(self, *loc: str | int, default: Any = None) -> Any:
        """Return what stands there, and count all of it as dealt with."""
        value = self.peek(*loc, default=_MISSING)
        if value is _MISSING:
            return default
        self.taken.add(loc)
        return value

    def peek(self, *loc: str | int, default: Any = None) -> Any:
        """Return what stands there, and leave it to whom it concerns."""
        value: Any = self.data
        for part in loc:
            inside = isinstance(value, Mapping) and part in value
            within = isinstance(value, list) and isinstance(part, int) and part < len(value)
            if not (inside or within):
                return default
            value = value[part]
        return value

    def leaves(self, *loc: str | int) -> tuple[Leaf, ...]:
        """Return all values below that nobody has taken, and count them as dealt with."""
        value = self.peek(*loc, default=_MISSING)
        found = (
            () if value is _MISSING else tuple(leaf for leaf in self._leaves(value, loc) if not self._done(leaf.loc))
        )
        self.taken.add(loc)
        return found

    def left(self) -> tuple[Leaf, ...]:
        """Return the values that nobody took, in the order of the file."""
        return tuple(leaf for leaf in self._leaves(self.data, ()) if not self._done(leaf.loc))

    def line(self, *loc: str | int) -> str:
        """Say where that stands."""
        for way in (loc, (*self.moved.get(loc[:1], loc[:1]), *loc[1:])):
            for document in self.documents:
                place = document.keys.get(way) or document.values.get(way)
                if place:
                    return f"{document.file}:{place.line}"
        return self.documents[-1].file

    def written(self, text: str) -> str:
        """Return a text as it stands in the file, with its ERB."""
        return _MARK.sub(lambda mark: f"<%={self.erb[int(mark[1])]}%>", text)

    def _done(self, loc: Loc) -> bool:
        return any(loc[:end] in self.taken for end in range(len(loc) + 1))

    def _leaves(self, value: Any, loc: Loc) -> Iterator[Leaf]:
        if isinstance(value, Mapping) and value:
            for key, item in value.items():
                yield from self._leaves(item, (*loc, key))
        elif isinstance(value, list) and value:
            for number, item in enumerate(value):
                yield from self._leaves(item, (*loc, number))
        else:
            file, _, line = self.line(*loc).rpartition(":")
            told = self.written(value) if isinstance(value, str) else value
            yield Leaf(loc, told, file or line, int(line) if line.isdecimal() else 1)


def marked(value: Any) -> bool:
    """Say whether there is ERB in a value, or anywhere below it."""
    match value:
        case str():
            return _MARK.search(value) is not None
        case Mapping():
            return any(marked(item) for item in value.values())
        case list():
            return any(marked(item) for item in value)
    return False


def read(path: Path) -> tuple[Source, dict[str, Source]]:
    """Return the file, and by name the destinations beside it (deploy.NAME.yml). Raises FileError."""
    own = _parse(path)
    beside = sorted(path.parent.glob(f"{path.stem}.*{path.suffix}"))
    destinations = {other.name[len(path.stem) + 1 : -len(path.suffix)]: _parse(other) for other in beside}
    return _source(own), {name: _source(own, other) for name, other in destinations.items()}


@dataclass(frozen=True, slots=True)
class _Parsed:
    document: Document
    erb: tuple[str, ...]
    code: tuple[str, ...]


def _parse(path: Path) -> _Parsed:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as problem:
        raise FileError(f"{path} cannot be read: {problem.strerror}. Expected Kamal's config/deploy.yml") from problem
    except UnicodeDecodeError as broken:
        raise FileError(f"{path}: expected UTF-8, found something else at byte {broken.start}") from broken
    erb: list[str] = []
    code: list[str] = []

    def keep(found: re.Match[str]) -> str:
        erb.append(found[1])
        return f"⟪{len(erb) - 1}⟫"

    def drop(found: re.Match[str]) -> str:
        line = text_with_marks.count("\n", 0, found.start()) + 1
        code.append(f"{path.name}:{line}: {' '.join(found[0].split())}")
        return "\n" * found[0].count("\n")

    text_with_marks = _OUTPUT.sub(keep, text)
    document = parse(_CODE.sub(drop, text_with_marks), path.name)
    if document.problems:
        raise FileError(*document.problems)
    if not isinstance(document.data, dict):
        raise FileError(f"{path}: expected Kamal's settings (service, image, servers, …), found {document.data!r}")
    return _Parsed(document, tuple(erb), tuple(code))


def _source(own: _Parsed, over: _Parsed | None = None) -> Source:
    if over is None:
        return Source((own.document,), _flat(own.document.data), own.erb, own.code)
    moved = _moved(over.document.data, len(own.erb))
    merged = _merged(_flat(own.document.data), _flat(moved))
    return Source((over.document, own.document), merged, own.erb + over.erb, own.code + over.code)


def _moved(value: Any, by: int) -> Any:
    """Number the marks of a second file after those of the first."""
    match value:
        case str():
            return _MARK.sub(lambda mark: f"⟪{int(mark[1]) + by}⟫", value)
        case dict():
            return {key: _moved(item, by) for key, item in value.items()}
        case list():
            return [_moved(item, by) for item in value]
    return value


def _merged(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Merge as Ruby's deep_merge does: mappings key by key, everything else is replaced."""
    merged = dict(common)
    for key, value in own.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _flat(value: Any) -> Any:
    """Carry out YAML 1.1's merge keys (``<<: *defaults``), which Ruby's reader knows."""
    if isinstance(value, list):
        return [_flat(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    flat: dict[str, Any] = {}
    merged = value.get("<<", [])
    for one in merged if isinstance(merged, list) else [merged]:
        flat = {**_flat(one), **flat}
    return {**flat, **{key: _flat(item) for key, item in value.items() if key != "<<"}}
