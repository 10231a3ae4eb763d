"""How does interlock.yaml become values of the core?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from interlock.config import agents, flags
from interlock.config.across import across
from interlock.config.document import Document, FileError, Loc, Problem, parse
from interlock.config.environment import containerised, environment, place_of_flags, protocol, settle
from interlock.config.explain import explain
from interlock.config.file import File, with_common, with_verification
from interlock.config.image import image, verification
from interlock.config.model import ArtefactBlock, EnvironmentBlock, FileBlock
from interlock.config.notify import channels, deployment_log
from interlock.core.metric import Series
from interlock.core.release import Protocol
from interlock.core.source import Source

NAME = "interlock.yaml"


def find(start: Path) -> Path:
    """Return interlock.yaml of this directory or the nearest one above; raise FileError when there is none."""
    start = start.absolute()
    for directory in (start, *start.parents):
        if (directory / NAME).is_file():
            return directory / NAME
    raise FileError(f"no {NAME} in {start} or above it: run `interlock init` to write one")


def load(path: Path) -> File:
    """Read the file; raise FileError with everything that is wrong in it."""
    path = path.absolute()
    return understand(parse(_read(path), path.name), path)


def understand(document: Document, path: Path) -> File:
    """Make a File of a document's content; raise FileError with everything that is wrong in it."""
    block = validate(document)
    settled = {name: settle(block, name) for name in block.environments}
    problems = [problem for name, settings in settled.items() for problem in _conflicts(document, name, settings)]
    problems += [problem for name, one in settled.items() for problem in _released(document, name, one, block)]
    problems += dict.fromkeys(_flags(document, block, settled, path.parent))  # what is shared is wrong once
    problems += agents.unknown(document, block.agents, [*block.environments])
    if problems:
        raise FileError(*problems)
    artefact = _source(block.artefact, path.parent)
    left = agents.limits(block.agents, [*block.environments])
    environments = tuple(environment(block, name, settings, path.parent) for name, settings in settled.items())
    environments = agents.with_promotion(environments, left)
    environments = with_verification(environments, verification(block.image, path.parent))
    told = channels(block.notify, path.parent), deployment_log(block.docs, artefact, path.parent)
    common = with_common(environments, artefact)
    return File(
        path,
        block.service,
        artefact,
        common,
        block.proof_valid_for,
        *told,
        links=block.links.url.rstrip("/") if block.links else "",
        agents=left,
        image=image(block.image, path.parent),
    )


def validate(document: Document) -> FileBlock:
    """Return the document's content by block and setting; raise FileError with everything that is wrong in it."""
    if document.data is None and not document.problems:
        raise FileError(document.problem((), "expected a service, found nothing: `interlock init` writes a starter"))
    problems = [*document.problems, *across(document)]
    try:
        block = FileBlock.model_validate(document.data)
    except ValidationError as invalid:
        problems += [explain(error, document) for error in invalid.errors(include_url=False)]
    if problems:
        raise FileError(*sorted(set(problems), key=lambda p: (p.place, p.where, p.text)))
    return block


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the file, for editors."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": NAME}
    return {**FileBlock.model_json_schema(), **dialect}


def starter(service: str = "shop") -> str:
    """Return a commented file to begin with: every setting, most of them commented out with their defaults."""
    text = Path(__file__).with_name("starter.yaml").read_text(encoding="utf-8")
    return text.replace("service: shop\n", f"service: {service}\n", 1)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as missing:
        raise FileError(f"no {path.name} in {path.parent}: run `interlock init` to write one") from missing
    except UnicodeDecodeError as broken:
        raise FileError(f"{path.name}: expected UTF-8, found something else at byte {broken.start}") from broken
    except OSError as problem:
        raise FileError(f"{path} cannot be read: {problem.strerror}") from problem


def _released(document: Document, name: str, one: EnvironmentBlock, block: FileBlock) -> Iterator[Problem]:
    """Yield where what is released is not what runs: containers run an image, processes run files."""
    own = ("environments", name, "platform")
    place: Loc = own if own in document.keys else ("environments", name)
    if containerised(one, block) and block.image is None:
        text = "expected image: REGISTRY/REPOSITORY at the top level, which containers run, found none"
        yield document.problem(place, text, at_key=True)
    if block.image is not None and not containerised(one, block):
        text = "expected platform: docker where an image is released, found process, which runs files"
        yield document.problem(place, text, at_key=True)


def _conflicts(document: Document, name: str, block: EnvironmentBlock) -> Iterator[Problem]:
    """Yield what does not go together once the environment's settings have joined those of the top level."""
    for check in ("readiness", "liveness"):
        conflict = getattr(getattr(block.health, check), "conflict", None)
        if conflict:
            yield document.problem(("environments", name, "health", check), conflict)
    if block.criteria.conflict:
        own = ("environments", name, "criteria")
        yield document.problem(own if own in document.keys else ("criteria", "baseline"), block.criteria.conflict)
    yield from _miscounted(document, name, block)
    if protocol(block) is Protocol.HTTP1 and block.health.readiness.kind == "grpc":
        text = "expected protocol: grpc (or h2c) where readiness is asked by grpc, found http1, which cannot carry it"
        yield document.problem(("environments", name, "protocol"), text)
    if protocol(block) is Protocol.GRPC and block.identify and block.identify.kind == "field":
        text = "expected a header that a gRPC service sends with its answers (identify.header), found identify.field"
        yield document.problem(("environments", name, "identify"), text)


def _flags(document: Document, file: FileBlock, settled: dict[str, EnvironmentBlock], root: Path) -> Iterator[Problem]:
    places = {name: place_of_flags(file, name, settings, root) for name, settings in settled.items()}
    for name, settings in settled.items():
        yield from flags.conflicts(document, settings.flags, file.environments[name].flags, places[name])
    yield from flags.shared(document, {name: flags.source(one.flags, places[name]) for name, one in settled.items()})


def _miscounted(document: Document, name: str, block: EnvironmentBlock) -> Iterator[Problem]:
    """Yield what would be counted twice, or by nobody, by a Prometheus."""
    one = block.metrics.prometheus
    if one is None:
        return
    own = ("environments", name, "metrics")
    place: Loc = own if own in document.keys else ("metrics", "prometheus")
    if one.requests and getattr(block.strategy.chosen, "load", None) is not None:
        text = (
            "expected no load where Prometheus counts the requests (its own would pass for users'), found strategy.load"
        )
        yield document.problem(place, text)
    named = [one.requests, one.failures, one.latency]
    named += [text for each in block.criteria.metrics.values() for text in (each.bad, each.of, each.histogram)]
    if block.criteria.cohort is not None:
        named += [block.criteria.cohort.bad, block.criteria.cohort.of]
    for text in filter(None, named):
        if any(label.name == one.revision for label in Series.parse(text).labels):
            said = f"expected series without the label {one.revision}, which Interlock sets itself, found {text}"
            yield document.problem(place, said)


def _source(block: ArtefactBlock, root: Path) -> Source:
    return Source(
        root=str(root),
        directory=block.directory,
        repository=str(root / block.git),
        build=block.build,
        build_within=block.build_within,
        include=block.include,
        exclude=block.exclude,
    )
