"""How is a piece of news written as a CloudEvent, under the names that CDEvents has for it?

CloudEvents 1.0 in structured JSON; `data` is the CDEvent (0.4). What CDEvents has no word for is a custom event of
ours, as it provides for them (``dev.cdeventsx.TOOL-SUBJECT.PREDICATE.VERSION``). The same news has the same `id` and
`time`, whenever it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlock.core.news import Kind, News
from interlock.core.release import Release

SPEC = "0.4.1"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
_SERVICE = "dev.cdevents.service.{}.0.2.0"
_OURS = "dev.cdeventsx.interlock-rollout.{}.0.1.0"


def cloud_event(news: News, title: str, text: str, head: str = "") -> Mapping[str, Any]:
    """Return the event; `title` and `text` are what people are told, `head` is the audit's last row."""
    rollout, stage = news.rollout, news.rollout.stage
    source, subject = f"/interlock/{stage.revision.release.service}", f"{rollout.id}"
    type = event_type(news)
    context = {
        "version": SPEC,
        "id": news.key,
        "source": source,
        "type": type,
        "timestamp": news.at.isoformat(),
        "chainId": news.thread,
    }
    return {
        "specversion": "1.0",
        "id": news.key,
        "source": source,
        "type": type,
        "subject": subject,
        "time": news.at.isoformat(),
        "datacontenttype": "application/json",
        "data": {
            "context": context,
            "subject": {"id": subject, "source": source, "type": _subject(type), "content": _content(news)},
            "customData": {"kind": news.kind.value, "title": title, "text": text, "audit": head, **_facts(news)},
            "customDataContentType": "application/json",
        },
    }


def event_type(news: News) -> str:
    """Return CDEvents' own name where there is one."""
    match news.kind:
        case Kind.SUCCEEDED:
            return _SERVICE.format("upgraded" if news.rollout.stage.replaces else "deployed")
        case Kind.ROLLED_BACK | Kind.SUPERSEDED:
            return _SERVICE.format("rolledback")
    return _OURS.format(news.kind.value.replace("-", ""))


def _subject(type: str) -> str:
    return type.split(".")[2]


def _content(news: News) -> Mapping[str, Any]:
    """Say what runs where now, as CDEvents asks for of a service: after a rollback that is the old release."""
    stage = news.rollout.stage
    back = news.kind in (Kind.ROLLED_BACK, Kind.SUPERSEDED)
    release = stage.replaces.release if back and stage.replaces else stage.revision.release
    return {"environment": {"id": stage.environment}, "artifactId": package_url(release)}


def package_url(release: Release) -> str:
    """Return the release's artefact as a package URL."""
    digest = release.artefact.digest
    return f"pkg:generic/{release.service}@{_quoted(release.version)}?checksum={digest}"


def _quoted(text: str) -> str:
    """Write everything but letters, digits and ``-._~`` as package URLs do (RFC 3986)."""
    return "".join(chr(one) if chr(one) in _PLAIN else f"%{one:02X}" for one in text.encode(errors="replace"))


def _facts(news: News) -> Mapping[str, Any]:
    rollout, stage = news.rollout, news.rollout.stage
    release = stage.revision.release
    return {
        "run": rollout.run,
        "rollout": rollout.id,
        "line": news.seq,
        "service": release.service,
        "environment": stage.environment,
        "version": release.version,
        "replaces": stage.replaces.release.version if stage.replaces else None,
        "identity": release.identity,
        "plan": rollout.plan,
        "strategy": stage.strategy.value,
        "startedBy": rollout.by,
        "reason": news.text,
    }
