"""What must a text be rid of before anybody sees it?

One rule, for logs, reasons, reports and what people say: every kept value is replaced by `[secret]`. One of `ANYWHERE`
characters or more goes wherever it stands; a shorter one where it stands alone, because the gaps in longer words would
tell it. Of a value of several lines each line of `LEAST_OF_A_LINE` characters or more goes too. So do the ways in which
programs write a value: as JSON, Python or shell strings, in URLs, in HTML and Markdown, in hexadecimal digits, and in
base64, also in the middle of a longer text. Where a text was cut, a beginning that the cut left goes as well.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from interlock.core.prose import words

ANYWHERE = 8
LEAST_OF_A_LINE = 4
LEAST_OF_A_CUT = 4
HIDDEN = "[secret]"

_MARK = "\x00"  # in no text that is shown, and in no value that a process can be given
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~")
_WRAPPED_AT = (64, 76)
_BEFORE = r"(?:(?<![^\W_])|(?<=\\[abfnrtv0])|(?<=%[0-9A-Fa-f][0-9A-Fa-f]))"
_AFTER = r"(?![^\W_])"


def hidden(text: str, values: Iterable[str]) -> str:
    """Return the text without any of these values, however they are written in it."""
    known = tuple(sorted({value.strip() for value in values} - {""}))
    if not known or not text:
        return text
    long, alone = _written(known)
    text = text.replace(_MARK, "")
    for form in long:
        text = text.replace(form, _MARK)
    if alone is not None:
        text = alone.sub(_MARK, text)
    return _without_beginnings(text, long).replace(_MARK, HIDDEN)


@lru_cache(maxsize=8)
def _written(values: tuple[str, ...]) -> tuple[tuple[str, ...], re.Pattern[str] | None]:
    """Return the forms to hide anywhere, longest first as one may be part of another, and those that stand alone."""
    forms = {form for value in values for form in _forms(value)} - {""}
    long = tuple(sorted((form for form in forms if len(form) >= ANYWHERE), key=lambda form: (-len(form), form)))
    short = sorted((form for form in forms if len(form) < ANYWHERE), key=lambda form: (-len(form), form))
    return long, re.compile(f"{_BEFORE}(?:{'|'.join(map(re.escape, short))}){_AFTER}") if short else None


def _forms(value: str) -> Iterator[str]:
    lines = [line.strip() for line in value.splitlines()]
    pieces = [value, *(line for line in lines if len(line) >= LEAST_OF_A_LINE)] if len(lines) > 1 else [value]
    for piece in dict.fromkeys(pieces):
        yield piece
        yield from _as_strings(piece)
        yield from _in_pages(piece)
        yield from _in_urls(_bytes(piece))
        yield from _in_digits(_bytes(piece))


def _as_strings(value: str) -> Iterator[str]:
    for ascii in (True, False):
        once = json.dumps(value, ensure_ascii=ascii)[1:-1]
        yield once
        yield json.dumps(once, ensure_ascii=ascii)[1:-1]  # JSON in a string of JSON, as in a log that is JSON
    yield repr(value)[1:-1]
    yield value.replace("'", "'\\''")
    yield value.replace("'", "'\"'\"'")


def _in_pages(value: str) -> Iterator[str]:
    yield html.escape(value)
    yield html.escape(value, quote=False)
    yield words(value)
    yield words(value).replace("|", "\\|")


def _in_urls(value: bytes) -> Iterator[str]:
    for but in (b"", b"/", b"!'()*"):  # RFC 3986; a path; encodeURIComponent
        text = "".join(chr(one) if one in _PLAIN or one in but else f"%{one:02X}" for one in value)
        for written in (text, text.replace("%20", "+")):
            yield written
            yield re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), written)


def _in_digits(value: bytes) -> Iterator[str]:
    """Hexadecimal, and base64: whole, line by line, and what stays the same of it inside a longer text's base64."""
    yield value.hex()
    yield value.hex().upper()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(value).decode()
        yield from (whole, whole.rstrip("="))
        for width in _WRAPPED_AT:
            lines = [whole[at : at + width] for at in range(0, len(whole), width)]
            yield from (line for line in lines[1:] if len(line) >= ANYWHERE)
            yield lines[0]
        for before, unlike in ((0, 0), (1, 2), (2, 3)):  # bytes before it, and digits that they have a part in
            inside = encode(b"\0" * before + value).decode()[unlike : 8 * (before + len(value)) // 6]
            if len(inside) >= ANYWHERE:
                yield inside


def _bytes(value: str) -> bytes:
    return value.encode(errors="surrogateescape")


def _without_beginnings(text: str, forms: tuple[str, ...]) -> str:
    """Take away what is left of a value at the end of the text, and before each sign that something was cut."""
    *cut, last = text.split("…")
    return "…".join([*(_without_beginning(part, forms) for part in cut), _without_beginning(last, forms)])


def _without_beginning(text: str, forms: tuple[str, ...]) -> str:
    for form in forms:
        for length in range(min(len(form) - 1, len(text)), LEAST_OF_A_CUT - 1, -1):
            if text.endswith(form[:length]):
                return text[:-length] + _MARK
    return text
