"""How are calendars and the places of holidays written in the file?"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Annotated

from pydantic import AfterValidator

from interlock.config.quantity import found, reference

_SCHEMES = ("http", "https", "webcal")


def place(value: str) -> str:
    """Accept a country, or a part of one, whose holidays are known: ``DE``, ``DE-BY``.

    Where the library that knows them is missing anything is accepted: a plan says then what is missing.
    """
    if not value or find_spec("holidays") is None:
        return value
    import holidays  # imported late: it takes 0.15 s, and few need it
    from holidays.registry import COUNTRIES

    codes = {code for _, *alike in COUNTRIES.values() for code in alike}
    country, _, part = value.partition("-")
    if country not in codes:
        near = _nearest(value, {name: code for name, code, *_ in COUNTRIES.values()})
        raise ValueError(f'expected a country with known holidays, such as "DE" or "DE-BY", found {found(value)}{near}')
    parts = holidays.country_holidays(country).subdivisions
    if part and part not in parts:
        has = f"{country} has {', '.join(parts)}" if parts else f"the holidays of {country} are the same everywhere"
        raise ValueError(f"expected a part of {country}, found {found(part)}; {has}")
    return value


def _nearest(value: str, names: Mapping[str, str]) -> str:
    """Ask for the code of a country that was named, or list those that begin alike: two letters have nothing near."""
    by_name = difflib.get_close_matches(value.title().replace(" ", ""), names, 1, 0.8)
    code = value.upper()[:2]
    if by_name or code in names.values():
        return f'; did you mean "{names[by_name[0]] if by_name else code}"?'
    alike = sorted(one for one in names.values() if one[:1] == code[:1])
    return f"; with {code[:1]} there are {', '.join(alike)}" if alike else ""


def feed(value: str) -> str:
    """Accept a path, an address at which somebody may be asked, or a reference to one that is a secret."""
    if value.startswith(("env:", "file:")):
        return reference(value)
    scheme, separator, _ = value.partition("://")
    if separator and scheme not in _SCHEMES:
        raise ValueError(f"expected a path, or an address that begins with https://, found {found(value)}")
    return value


Place = Annotated[str, AfterValidator(place)]
FeedAddress = Annotated[str, AfterValidator(feed)]
