"""How does a report look in a browser, on paper, or attached to a ticket? One file, without scripts and network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from html import escape

from interlock.adapters.recordings.files import RecordingFiles
from interlock.adapters.secrets import kept
from interlock.app.chart import Chart, Limit, Line, highest, scaled, svg
from interlock.app.report import accounts_of, report
from interlock.app.state import StateDirectory
from interlock.app.view import View
from interlock.core.criteria import Criteria
from interlock.core.curves import Curve, Curves, curves_of
from interlock.core.judge.words import odds, percent
from interlock.core.prose import moment
from interlock.core.recording import RecordingError, read
from interlock.core.secrecy import hidden
from interlock.core.suspects import Found
from interlock.ports.recordings import RecordingsError

_LOUD = frozenset({"EXCEPTIONS", "ADVANCED UNPROVEN", "PROVEN BY SYNTHETIC LOAD, NOT BY USERS"})
_ITEM = re.compile(r"(- |\d+\. |  - )(.*)")
_CELLS = re.compile(r"(?<!\\)\|")

_STYLE = """
:root{color-scheme:light dark;--page:#fff;--text:#1b1f24;--faint:#57606a;--rule:#d0d7de;--canary:#a8410a;
--stable:#0b5cad;--bad:#b00020;--good:#0a6b2e;--alarm:#fff0f0}
@media (prefers-color-scheme:dark){:root{--page:#14171a;--text:#e6eaee;--faint:#a9b4bf;--rule:#3a424b;
--canary:#ffb27a;--stable:#8cc2ff;--bad:#ff9aa2;--good:#7ddc9a;--alarm:#3a1518}}
@media print{:root{color-scheme:light;--page:#fff;--text:#000;--faint:#333;--rule:#999;--canary:#a8410a;
--stable:#0b5cad;--bad:#b00020;--good:#0a6b2e;--alarm:#fff}body{max-width:none;font-size:10pt}
figure,table,h2,h3{break-inside:avoid}h2,h3{break-after:avoid}a{color:inherit}}
body{margin:0 auto;padding:1.5rem;max-width:60rem;background:var(--page);color:var(--text);
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;margin:0 0 1rem}h2{font-size:1.25rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--rule)}
h3{font-size:1rem;margin:1.2rem 0 .3rem}
ul,ol{padding-left:1.4rem;margin:.4rem 0}li{overflow-wrap:anywhere}
.table{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem}
th,td{border:1px solid var(--rule);padding:.25rem .5rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}
code,pre{font:.85em/1.4 ui-monospace,monospace}pre{overflow-x:auto;border:1px solid var(--rule);padding:.6rem;
white-space:pre-wrap;overflow-wrap:anywhere}
.alarm{border-left:.4rem solid var(--bad);background:var(--alarm);padding:.1rem 1rem .6rem}.alarm *{color:var(--bad)}
figure{margin:1rem 0}figcaption{color:var(--faint);font-size:.85rem}svg{width:100%;height:auto;display:block}
svg text{fill:var(--text);font:12px system-ui,sans-serif}.tick,.axis,.note{fill:var(--faint)}
.frame,.grid,.mark,.line{fill:none}.frame{stroke:var(--faint)}.grid{stroke:var(--rule)}
.mark{stroke:var(--faint);stroke-dasharray:2 4}.line{stroke-width:2}.dotted{stroke-dasharray:6 4;stroke-width:1.5}
.canary{stroke:var(--canary)}.stable{stroke:var(--stable);stroke-dasharray:7 3}.bad{stroke:var(--bad)}
.good{stroke:var(--good);stroke-dasharray:7 3}.limit{stroke:var(--faint)}
.dot.canary{fill:var(--canary)}.dot.stable{fill:var(--stable)}
"""


def page(
    view: View,
    state: StateDirectory,
    now: datetime,
    head: str = "",
    *,
    incident: bool = False,
    found: Found | None = None,
) -> str:
    """Return a run's report as a page of its own; raise NoIncident like the report."""
    text = report(view, state.secrets, now, incident=incident, found=found, head=head)
    first, *rest = text.splitlines()
    title = f"{first.lstrip('# ')}: {view.run}"
    blocks = list(_blocks(rest))
    after = [number for number, block in enumerate(blocks) if block.startswith(("<h2", "<section"))][1:2]
    place = after[0] if after else len(blocks)
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>",
            f"<h1>{escape(title)}</h1>",
            *blocks[:place],
            *_figures(view, state),
            *blocks[place:],
            f"<footer><p>Written by Interlock, {moment(now)}</p></footer>\n</main>\n</body>\n</html>\n",
        ]
    )


# --- what our reports are written in


def _blocks(lines: Sequence[str]) -> Iterator[str]:
    """Turn a report's lines into HTML; it knows what our reports have in them, and escapes everything."""
    number, loud = 0, False
    while number < len(lines):
        line = lines[number]
        if line.startswith("### "):
            yield "</section>" if loud else ""
            loud = line[4:] in _LOUD
            yield ('<section class="alarm">' if loud else "") + f"<h2>{_inline(line[4:])}</h2>"
            number += 1
        elif line.startswith("#### "):
            yield f"<h3>{_inline(line[5:])}</h3>"
            number += 1
        elif line.startswith("````"):
            end = next((n for n in range(number + 1, len(lines)) if lines[n].startswith("````")), len(lines))
            yield f"<pre>{escape(chr(10).join(lines[number + 1 : end]))}</pre>"
            number = end + 1
        elif line.startswith("|"):
            end = _end(lines, number, lambda one: one.startswith("|"))
            yield _table(lines[number:end])
            number = end
        elif _ITEM.fullmatch(line):
            end = _end(lines, number, lambda one: _ITEM.fullmatch(one) is not None)
            yield _list(lines[number:end])
            number = end
        else:
            yield f"<p>{_inline(line)}</p>" if line.strip() else ""
            number += 1
    yield "</section>" if loud else ""


def _end(lines: Sequence[str], first: int, belongs: Callable[[str], bool]) -> int:
    return next((n for n in range(first, len(lines)) if not belongs(lines[n])), len(lines))


def _list(lines: Sequence[str]) -> str:
    ordered = lines[0][0].isdigit()
    items = []
    for line in lines:
        match = _ITEM.fullmatch(line)
        assert match is not None
        items.append(f"<li{_class(match[2])}>{_inline(match[2])}</li>")
    tag = "ol" if ordered else "ul"
    return f"<{tag}>{''.join(items)}</{tag}>"


def _class(text: str) -> str:
    return ' class="alarm"' if text.startswith(("**NOT VERIFIED**", "**UNRESOLVED**")) else ""


def _table(lines: Sequence[str]) -> str:
    rows = [[cell.strip() for cell in _CELLS.split(line.strip().strip("|"))] for line in lines]
    head = "".join(f'<th scope="col">{_inline(cell)}</th>' for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in row) + "</tr>" for row in rows[2:])
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _inline(text: str) -> str:
    """Escape a text, then give it what a report's own signs mean."""
    text = escape(text.replace("\\|", "|").replace("&lt;", "<"))
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)


# --- figures


def _figures(view: View, state: StateDirectory) -> Iterator[str]:
    """Yield what was recorded of each rollout, drawn; a sentence where that cannot be read."""
    files = RecordingFiles(state.recordings)
    for account in accounts_of(view):
        rollout = account.rollout
        criteria, where = rollout.stage.criteria, rollout.stage.environment
        if criteria is None or not files.begun(rollout.id):
            continue
        yield f"<h2>Over time: {escape(where)}</h2>"
        try:
            back = account.moved(back=True)
            curves = curves_of(read(rollout.id, files.read(rollout.id)), back[0].at if back else None)
        except (RecordingsError, RecordingError) as problem:
            yield f"<p>What was recorded cannot be drawn: {escape(str(problem))}</p>"
            continue
        secrets = kept(state.secrets)
        old = rollout.stage.replaces
        new, stable = rollout.stage.revision.release.version, old.release.version if old else "nothing"
        for chart in charts(where, hidden(new, secrets), hidden(stable, secrets), curves, criteria):
            yield f"<figure>{svg(chart)}<figcaption>{escape(chart.description)}</figcaption></figure>"


def charts(where: str, new: str, old: str, curves: Curves, criteria: Criteria) -> tuple[Chart, ...]:
    """Return the four charts of one rollout."""
    seconds, marks = curves.seconds, curves.marks
    weight = Chart(
        f"{where}-weight",
        f"Weight of {new} in {where}",
        f"The share of the traffic that {new} was wanted to have, and the share that was observed in force; "
        f"at most {percent(highest(curves.observed))}.",
        "weight (%)",
        (
            Line("observed", "canary", scaled(curves.observed, 100), stepped=True),
            Line("wanted", "stable", scaled(curves.wanted, 100), stepped=True),
        ),
        seconds=seconds,
        ends_at=100.0,
        marks=marks,
    )
    errors = Chart(
        f"{where}-errors",
        f"Error rate in {where}",
        f"Failed requests of {new} and of {old}; at most {percent(highest(curves.canary_errors))} of {new}'s, "
        f"{percent(criteria.error_rate)} is allowed.",
        "failed requests (%)",
        _sides(new, old, scaled(curves.canary_errors, 100), scaled(curves.stable_errors, 100)),
        (Limit(f"limit {percent(criteria.error_rate)}", criteria.error_rate * 100),),
        seconds,
        criteria.error_rate * 200,
        marks=marks,
    )
    fixed = criteria.latency_p99.total_seconds() * 1000 if criteria.latency_p99 else None
    latency = Chart(
        f"{where}-latency",
        f"Latency p99 in {where}",
        f"99 of 100 answers of {new} and of {old} came within this time, to the upper edge of the histogram's bucket; "
        f"at most {highest(curves.canary_p99):.4g} ms of {new}'s.",
        "p99 (ms)",
        _sides(new, old, curves.canary_p99, curves.stable_p99),
        () if fixed is None else (Limit(f"limit {fixed:g} ms", fixed),),
        seconds,
        marks=marks,
    )
    return weight, errors, latency, _evidence(where, new, curves)


def _sides(new: str, old: str, canary: Curve, stable: Curve) -> tuple[Line, ...]:
    return Line(f"{new} (new)", "canary", canary), Line(f"{old} (old)", "stable", stable)


def _evidence(where: str, new: str, curves: Curves) -> Chart:
    return Chart(
        f"{where}-evidence",
        f"Evidence on {new} in {where}",
        f"Odds against {new}: at {odds(curves.rolls_back)} it is taken back. Odds that it is below the limit, by the "
        f"metric that has proven least: at {odds(curves.proves)} a step is proven.",
        "odds to 1 (logarithmic)",
        (Line("against it", "bad", curves.against), Line("that it is safe", "good", curves.in_favour)),
        (
            Limit(f"rolls back at {curves.rolls_back:g}", curves.rolls_back, "bad"),
            Limit(f"proves at {curves.proves:g}", curves.proves, "good"),
        ),
        curves.seconds,
        logarithmic=True,
        marks=curves.marks,
    )
