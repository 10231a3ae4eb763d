"""How is Interlock asked over HTTP? By links that people get in messages, and by programs with a token."""

from interlock.surfaces.api.server import serve
from interlock.surfaces.api.site import application

__all__ = ["application", "serve"]
