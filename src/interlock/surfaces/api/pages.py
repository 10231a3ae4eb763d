"""What does a page look like on which a person acts? Plain HTML: no script, nothing from elsewhere, one button."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from html import escape

from interlock.core.link import Link
from interlock.core.rollout import Rollout

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:38rem;margin:2rem auto;padding:0 1rem}"
    "dt{font-weight:600}dd{margin:0 0 .6rem;overflow-wrap:anywhere}"
    "button{font:inherit;font-weight:600;padding:.7rem 1.4rem;min-height:3rem;cursor:pointer}"
    "button:focus-visible{outline:3px solid;outline-offset:3px}"
)
STYLE_HASH = f"sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}"
"""By this the browser knows our own style, and takes no other."""


def asking(link: Link, rollout: Rollout, token: str) -> str:
    """Return the page of a link: what is acknowledged, and the button while there is something to acknowledge."""
    if rollout.acknowledged is not None:
        return acknowledged(rollout)
    if rollout.over or rollout.going_back:
        said = "It is over" if rollout.over else "It is going back"
        return _page(
            "Nothing to acknowledge", f"<p>{said}: {escape(rollout.reason or rollout.phase.value)}.</p>", rollout
        )
    form = (
        f"<p>You are on call. It begins only when one of those on call has said that they know of it.</p>"
        f"{_facts(rollout, ('You are', link.person), ('This holds until', _moment(link.expires)))}"
        '<form method="post" action="acknowledge">'
        f'<input type="hidden" name="token" value="{escape(token)}">'
        f'<button type="submit">I know of it, and am here</button></form>'
        "<p>To open this page has changed nothing. The button acknowledges, by your name and on record.</p>"
    )
    return _page("Acknowledge a deployment", form)


def acknowledged(rollout: Rollout) -> str:
    """Return the page that says who has."""
    known = rollout.acknowledged
    assert known is not None, "only asked when somebody has"
    said = f"<p>By {escape(known.by)}, at {_moment(known.at)}. You may close this page.</p>"
    return _page("Acknowledged", said, rollout)


def trouble(title: str, detail: str) -> str:
    """Return the page that says why not."""
    more = "<p>On the machine itself: <code>interlock acknowledge --help</code></p>"
    return _page(title, f"<p>{escape(detail[:1].upper() + detail[1:])}.</p>{more}")


def _facts(rollout: Rollout, *more: tuple[str, str]) -> str:
    release, stage = rollout.stage.revision.release, rollout.stage
    old = stage.replaces.release.version if stage.replaces else "nothing"
    facts = [
        ("Service", release.service),
        ("Release", f"{release.version}, in place of {old}"),
        ("Environment", f"{stage.environment}, {stage.strategy.value}"),
        ("Rollout", rollout.id),
        ("Begun", f"{_moment(rollout.started)} by {rollout.by or 'nobody who is on record'}"),
        *more,
    ]
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(said)}</dd>' for name, said in facts)}</dl>"


def _page(title: str, body: str, rollout: Rollout | None = None) -> str:
    facts = "" if rollout is None else _facts(rollout)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{escape(title)} · Interlock</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}{facts}</main></body></html>\n"
    )


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
