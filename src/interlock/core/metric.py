"""Which bad events, that only the application itself can count, does the user name?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

_LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"((?:[^"\\\n]|\\.)*)"'
_SERIES = re.compile(rf"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{{\s*((?:{_LABEL}\s*,?\s*)*)\}})?")
_LABELS = re.compile(_LABEL)
_ESCAPED = {"n": "\n", '"': '"', "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Label:
    """What a label of a series must be: `operator` is ``=``, ``!=``, ``=~`` or ``!~``, the last two for patterns."""

    name: str
    operator: str
    value: str

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Say whether these labels are meant; a label that is missing is empty, as Prometheus has it."""
        value = labels.get(self.name, "")
        same = re.fullmatch(self.value, value) is not None if "~" in self.operator else value == self.value
        return same != self.operator.startswith("!")

    def __str__(self) -> str:
        value = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.name}{self.operator}"{value}"'


@dataclass(frozen=True, slots=True)
class Series:
    """The series of one name whose labels fit, summed; written ``checkouts_total{kind="card"}``."""

    name: str
    labels: tuple[Label, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Series:
        """Read a series as it is written; raise ValueError when it is none."""
        match = _SERIES.fullmatch(text.strip())
        if match is None:
            raise ValueError(
                f"expected the name of a counter, such as checkouts_total or "
                f'checkouts_total{{kind="card"}}, found "{text}"'
            )
        labels = [Label(name, op, _plain(value)) for name, op, value in _LABELS.findall(match[2] or "")]
        for label in labels:
            if "~" in label.operator:
                _compile(label.value)
        return cls(match[1], tuple(labels))

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Say whether a series of this name with these labels is meant."""
        return all(label.fits(labels) for label in self.labels)

    def __str__(self) -> str:
        return f"{self.name}{{{','.join(map(str, self.labels))}}}" if self.labels else self.name


@dataclass(frozen=True, slots=True)
class Ratio:
    """Bad events by all of them, each counted by a counter."""

    bad: Series
    of: Series


@dataclass(frozen=True, slots=True)
class Slower:
    """Events slower than an edge of a histogram, by all that it counts; the histogram's unit is in its name."""

    histogram: Series
    than: timedelta

    @property
    def edge(self) -> float:
        """The edge in the histogram's own unit."""
        return self.than / unit(self.histogram)


def unit(histogram: Series) -> timedelta:
    """Return what a histogram of durations counts in: seconds, unless its name says milliseconds, or is Envoy's."""
    thousandths = histogram.name.endswith(("_milliseconds", "_ms")) or histogram.name.startswith("envoy_")
    return timedelta(milliseconds=1) if thousandths else timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A Prometheus that collects what instances show.

    The label `revision` of its series has a revision's name; all series whose labels `instances` are alike are one
    instance's. What was collected longer ago than `stale_after` is not seen. `token_secret` names the token.
    """

    url: str
    revision: str = "revision"
    instances: tuple[str, ...] = ("instance",)
    stale_after: timedelta = timedelta(seconds=30)
    token_secret: str = ""


@dataclass(frozen=True, slots=True)
class Counted:
    """Users' requests as a Prometheus has them, in place of the proxy's own counters.

    `requests` and `failures` are counters, `latency` is a histogram, stored as a classic or as a native one.
    """

    source: Prometheus
    requests: Series
    failures: Series
    latency: Series


@dataclass(frozen=True, slots=True)
class Metric:
    """A kind of bad event by its name, and the share of them (0 to 1) up to which a release is well.

    `weight` is its part of the odds against a release, in multiples of what latency has. `path` is where each
    instance shows its counters; it is empty where `source` collects them.
    """

    name: str
    limit: float
    events: Ratio | Slower
    weight: float = 1.0
    path: str = "/metrics"
    source: Prometheus | None = None

    def __str__(self) -> str:
        match self.events:
            case Ratio(bad, of):
                return f"{bad} of {of}"
            case Slower(histogram, than):
                return f"{histogram} slower than {than / timedelta(milliseconds=1):g} ms"


def _plain(value: str) -> str:
    return re.sub(r"\\(.)", lambda escape: _ESCAPED.get(escape[1], escape[0]), value)


def _compile(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as problem:
        raise ValueError(
            f'expected a regular expression as a label\'s value, found "{pattern}": {problem}'
        ) from problem
