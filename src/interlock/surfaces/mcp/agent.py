"""Who is calling? A program's word for itself, which is written down and proves nothing."""

from __future__ import annotations

import os
import re
from typing import Any

from mcp.server.context import ServerRequestContext

from interlock.app.verbs import who
from interlock.core.agents import Agent

MODEL = "interlock/model"
"""The key in a request's `_meta` under which a client may say which model it speaks for; `model` does as well."""

MODEL_VARIABLE = "INTERLOCK_AGENT_MODEL"

# Not a quote, and nothing that could pass for our own words in a journal's line.
_STRANGE = re.compile(r"[^A-Za-z0-9._+/ -]+")
_LONGEST = 40


def agent_of(context: ServerRequestContext[Any, Any]) -> Agent:
    """Return who calls, for the local user."""
    params, meta = context.session.client_params, dict(context.meta or {})
    info = params.client_info if params is not None else None
    model = meta.get(MODEL) or meta.get("model") or os.environ.get(MODEL_VARIABLE, "")
    return Agent(who(), _named(info.name) if info else "", _named(info.version) if info else "", _named(model))


def _named(text: object) -> str:
    return _STRANGE.sub("", text)[:_LONGEST].strip() if isinstance(text, str) else ""
