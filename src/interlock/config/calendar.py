"""How are calendars and the places of holidays written in the file?"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

from pydantic import AfterValidator

from interlock.config.quantity import found, guess

_SCHEMES = ("http", "https", "webcal")


def place(value: str) -> str:
    """Accept a country, or a part of one, whose holidays are known: ``DE``, ``DE-BY``.

    Where the library that knows them is missing anything is accepted: a plan says then what is missing.
    """
    if not value or find_spec("holidays") is None:
        return value
    import holidays  # imported late: it takes 0.15 s, and few need it
    from holidays.registry import EntityLoader

    countries = set(EntityLoader.get_country_codes())
    country, _, part = value.partition("-")
    if country not in countries:
        near = guess(country.upper(), sorted(code for code in countries if len(code) == 2))
        raise ValueError(f'expected a country with known holidays, such as "DE" or "DE-BY", found {found(value)}{near}')
    parts = holidays.country_holidays(country).subdivisions
    if part and part not in parts:
        has = f"{country} has {', '.join(parts)}" if parts else f"the holidays of {country} are the same everywhere"
        raise ValueError(f"expected a part of {country}, found {found(part)}{guess(part.upper(), parts)}; {has}")
    return value


def feed(value: str) -> str:
    """Accept a path, or an address at which somebody may be asked."""
    scheme, separator, _ = value.partition("://")
    if separator and scheme not in _SCHEMES:
        raise ValueError(f"expected a path, or an address that begins with https://, found {found(value)}")
    return value


Place = Annotated[str, AfterValidator(place)]
FeedAddress = Annotated[str, AfterValidator(feed)]
