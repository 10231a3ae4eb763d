"""What changed anything here, who wanted it, and is that record still what was written?"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import duration, output

if TYPE_CHECKING:
    from interlock.core.audit import Head


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(usage=parser.error)
    parser.add_argument("--since", type=moment, metavar="WHEN", help="only from then on: 2026-03-04, 2h, 7d")
    output(parser)
    verbs = parser.add_subparsers(dest="verb", metavar="verify")
    verify = verbs.add_parser(
        "verify", help="find what was changed behind our back", description="Compare the record with its own hashes, "
        "with the journals, and with heads that were published.",
    )  # fmt: skip
    verify.add_argument("--head", action="append", default=[], metavar="HEAD", help="published earlier, as 57:3f9a…")
    verify.add_argument(
        "reports", nargs="*", metavar="REPORT", help="saved reports or directories of them: their heads"
    )
    output(verify)


def moment(text: str) -> datetime:
    """Read a date, a moment in ISO 8601, or how long ago."""
    try:
        at = datetime.fromisoformat(text)
        return at if at.tzinfo else at.astimezone()
    except ValueError:
        pass
    try:
        return datetime.now(UTC) - duration(text)
    except (argparse.ArgumentTypeError, OverflowError):
        expected = 'expected a date such as 2026-03-04, a moment such as 2026-03-04T12:00Z, or "2h", "7d"'
        raise argparse.ArgumentTypeError(f'{expected}, found "{text}"') from None


async def run(call: Call) -> Exit:
    call.goes_on = "interrupted: to look changes nothing"
    return await (_verify(call) if call.options.verb == "verify" else _list(call))


async def _list(call: Call) -> Exit:
    from interlock.core.record import plain

    since, number, shown = call.options.since, 0, []
    while rows := await call.app.records.audit(number):
        number = rows[-1].number
        for row in rows:
            try:
                act = row.act
            except ValueError:
                call.say(f"{row.number:>5} cannot be read: see interlock audit verify")
                continue
            if since is not None and act.at < since:
                continue
            shown.append({"number": row.number, "hash": row.hash, **plain(act)})
            who = f" [{', '.join(filter(None, (act.by, act.channel)))}]" if act.by or act.channel else ""
            about = f"{act.subject}: " if act.subject else ""
            call.say(f"{row.number:>5} {act.at:%Y-%m-%d %H:%M:%S} {act.kind:<9} {about}{one_line(act.text)}{who}")
    head = await call.app.audit_head()
    call.say(f"head {head}")
    if call.json:
        call.document({"type": "audit", "head": head, "rows": shown})
    return Exit.OK


async def _verify(call: Call) -> Exit:
    from interlock.core.audit import examine
    from interlock.core.record import plain

    published = _published(call)
    rows, journal = await call.app.records.audited()
    found = examine(rows, published, journal)
    for trouble in found.troubles:
        call.say(f"✖ {trouble.text}")
    heads = f"{len(published)} published heads" if len(published) > 1 else "the published head"
    against = f", and agree with {heads}" if published else ""
    if not found.troubles:
        call.say(f"✔ {found.rows} rows are what was written, as are the journals{against}. head {found.head}")
        if not published:
            call.say("  Whether all of it was written anew, only an older head can tell: --head, or saved reports")
    if call.json:
        troubles = [{"row": one.number or None, "text": one.text} for one in found.troubles]
        whole = {"whole": not found.troubles, "rows": found.rows, "head": str(found.head), "troubles": troubles}
        call.document({"type": "audit-verified", **whole, "published": [plain(str(head)) for head in published]})
    return Exit.ERROR if found.troubles else Exit.OK


def _published(call: Call) -> list[Head]:
    """Return the heads that were given, and those in saved reports."""
    from interlock.core.audit import head_of, published_in

    found: list[Head] = []
    for text in call.options.head:
        try:
            found.append(head_of(text))
        except ValueError as problem:
            call.options.usage(str(problem))
    for name in call.options.reports:
        before = len(found)
        for file in _files(Path(name)):
            found += published_in(file.read_text(encoding="utf-8", errors="replace"))
        if len(found) == before:
            call.options.usage(f"there is no published head in {name}: give a report that Interlock wrote")
    return list(dict.fromkeys(found))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.suffix in (".md", ".json", ".html", ".txt"))
    return [path]


def one_line(text: str) -> str:
    """Show what somebody wrote on one line, without signs that move the cursor."""
    return "".join(sign if sign.isprintable() else " " for sign in " ".join(text.split()))
