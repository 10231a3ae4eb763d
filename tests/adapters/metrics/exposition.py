"""What an instance that has native histograms shows: Prometheus' protobuf format, the only one that carries them.

`prometheus-client` has neither, so the messages are written here, field by field, as
https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto has them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
COUNTER, HISTOGRAM = 0, 4


def family(name: str, kind: int, metrics: Iterable[bytes]) -> bytes:
    """Write all series of one name, with the length in front."""
    message = _text(1, name) + _number(3, kind) + b"".join(_message(4, one) for one in metrics)
    return _varint(len(message)) + message


def counter(value: float, labels: Mapping[str, str] | None = None) -> bytes:
    """Write one counter."""
    return _labels(labels or {}) + _message(3, _double(1, value))


def native(
    buckets: Mapping[int, int], schema: int, labels: Mapping[str, str] | None = None, zero: int = 0, sum: float = 0.0
) -> bytes:
    """Write one native histogram: bucket `i` holds what is at most 2^(i × 2^-schema), and above the one below."""
    body = _number(1, _total(buckets) + zero) + _double(2, sum) + _signed(5, schema)
    body += _double(6, 2.0**-128) + _number(7, zero)
    deltas, before, last = b"", 0, None
    for first, length in _spans(sorted(buckets)):
        body += _message(12, _signed(1, first if last is None else first - last - 1) + _number(2, length))
        last = first + length - 1
    for index in sorted(buckets):
        deltas, before = deltas + _zigzag(buckets[index] - before), buckets[index]
    return _labels(labels or {}) + _message(7, body + (_message(13, deltas) if deltas else b""))


def _total(buckets: Mapping[int, int]) -> int:
    return sum(buckets.values())


def _spans(indexes: Iterable[int]) -> list[tuple[int, int]]:
    """Return runs of neighbours: (first, length)."""
    spans: list[tuple[int, int]] = []
    for index in indexes:
        if spans and index == spans[-1][0] + spans[-1][1]:
            spans[-1] = (spans[-1][0], spans[-1][1] + 1)
        else:
            spans.append((index, 1))
    return spans


def _labels(labels: Mapping[str, str]) -> bytes:
    return b"".join(_message(1, _text(1, name) + _text(2, value)) for name, value in labels.items())


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode())


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _signed(field: int, number: int) -> bytes:
    return _varint(field << 3) + _zigzag(number)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _zigzag(number: int) -> bytes:
    return _varint(number << 1 if number >= 0 else (-number << 1) - 1)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
