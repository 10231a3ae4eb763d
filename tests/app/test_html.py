"""Is the page of a report whole in one file, readable for everybody, and safe whatever stands in the records?"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.engine.stories import BAD, HASTY, QUICK, Story, busy, play, revision, stage, staging
from tests.surfaces.worlds import view_of

from interlock.adapters.memory import Behaviour
from interlock.adapters.recordings.memory import MemoryRecordings
from interlock.app.chart import HEIGHT, WIDTH, Chart, Limit, Line, svg
from interlock.app.html import page
from interlock.app.report import accounts_of
from interlock.app.state import StateDirectory
from interlock.app.view import View
from interlock.core.curves import COLUMNS, curves_of
from interlock.core.events import OrderKind
from interlock.core.phase import Phase
from interlock.core.recording import Recording, read
from interlock.engine.engine import Engine
from interlock.ports.store import Entry

NOW = datetime(2030, 1, 1, tzinfo=UTC)
VOID = frozenset("meta br hr img path circle".split())
EVIL = "<script>alert(1)</script> \"><img src=x onerror=alert(2)> **bold** `code` | cell & 'quoted'"


@dataclass
class Recorded(Story):
    """A world in which rollouts are recorded."""

    recordings: MemoryRecordings = field(default_factory=MemoryRecordings)

    def new_engine(self) -> Engine:
        plain = super().new_engine()
        self.engine = Engine(replace(plain._ports, recordings=self.recordings), "keeper")
        return self.engine


@cache
def seen(kind: str) -> tuple[View, str]:
    """A run that ended well, or was taken back, or aborted for a reason that means evil; and production's recording."""
    kept, found = MemoryRecordings(), []

    async def tell(story: Story) -> None:
        story = Recorded(story.world, story.store, recordings=kept)
        old = await story.stands("v1")
        if kind == "bad":
            story.world.behaviours["production-v2"] = Behaviour(error_rate=0.06)
        if kind == "dead":
            story.world.behaviours["production-v2"] = BAD
        run = await story.deploy(staging("v2"), stage(revision("v2"), old, pace=QUICK if kind == "good" else HASTY))
        if kind == "evil":
            await story.world.sleep(timedelta(seconds=9))
            await story.order(run, OrderKind.ABORT, reason=EVIL)
        await story.ends(run)
        found.append(await view_of(story, run))

    play(tell, busy())
    return found[0], kept.read("shop-1-production") if kind != "evil" else ""


def written(kind: str, state: Path, **more: object) -> str:
    view, recording = seen(kind)
    (state / "recordings").mkdir(parents=True, exist_ok=True)
    if recording:
        (state / "recordings" / "shop-1-production.jsonl").write_text(recording)
    return page(view, StateDirectory(state), NOW, "7:" + "a" * 64, **more)  # type: ignore[arg-type]


class Page(HTMLParser):
    """Reads a page strictly: each element that is opened is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


KINDS = [(kind, False) for kind in ("good", "bad", "dead", "evil")] + [(kind, True) for kind in ("bad", "dead", "evil")]


@pytest.mark.parametrize(("kind", "incident"), KINDS)
def test_a_page_is_one_file_without_scripts_and_without_network(kind: str, incident: bool, tmp_path: Path) -> None:
    text = written(kind, tmp_path, incident=incident)
    it = Page(text)
    tags = {tag for tag, _ in it.tags}
    assert tags.isdisjoint({"script", "img", "link", "iframe", "object", "embed", "use", "a", "image", "form"})
    names = {name for _, attributes in it.tags for name in attributes}
    assert not [name for name in names if name.startswith("on") or name in ("src", "href", "xlink:href", "action")]
    assert "url(" not in text and "@import" not in text
    assert "default-src 'none'" in text


@pytest.mark.parametrize("incident", [False, True])
def test_what_comes_from_outside_is_text_and_nothing_else(tmp_path: Path, incident: bool) -> None:
    text = written("evil", tmp_path, incident=incident)
    assert "<script" not in text and "<img" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "&lt;img src=x onerror=alert(2)&gt;" in text


def test_a_page_says_all_that_the_report_says(tmp_path: Path) -> None:
    text = written("good", tmp_path)
    plain = re.sub(r"<[^>]+>", " ", text)
    for wanted in ("Status: SUCCESS", "Deployment Steps", "Error rate", "Gates", "rollback-ready", "7:" + "a" * 64):
        assert wanted in plain, wanted
    assert text.index("Over time: production") < text.index("Deployment Steps")


def figures(text: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(one) for one in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]


@pytest.mark.parametrize("kind", ["good", "bad", "dead"])
def test_four_charts_show_weight_errors_latency_and_evidence_with_axes_and_units(kind: str, tmp_path: Path) -> None:
    found = figures(written(kind, tmp_path))
    assert [one.findtext("title") for one in found] == [
        "Weight of v2 in production",
        "Error rate in production",
        "Latency p99 in production",
        "Evidence on v2 in production",
    ]
    for one in found:
        labels = [text.text or "" for text in one.iter("text")]
        assert any(label.startswith("time since the first weight (") for label in labels)
        assert any(re.search(r"\((%|ms|logarithmic)\)$", label) for label in labels)
        named = one.get("aria-labelledby", "").split()
        assert one.get("role") == "img" and [one.find(f"*[@id='{id}']") is not None for id in named] == [True, True]
        assert (one.findtext("desc") or "").endswith(".")


@pytest.mark.parametrize("kind", ["good", "bad", "dead"])
def test_nothing_is_drawn_beside_the_chart(kind: str, tmp_path: Path) -> None:
    for one in figures(written(kind, tmp_path)):
        for path in one.iter("path"):
            numbers = [float(n) for n in re.findall(r"[MLHV]?(-?\d+\.?\d*)", path.get("d", ""))]
            assert all(-1 <= number <= WIDTH for number in numbers)
        for text in one.iter("text"):
            assert 0 <= float(text.get("y", "0")) <= HEIGHT


def recording(kind: str) -> Recording:
    return read("shop-1-production", seen(kind)[1])


def test_the_curves_are_what_was_recorded() -> None:
    curves = curves_of(recording("good"))
    assert [share for _, share in curves.observed][:3] == [0.1, 0.5, 1.0]
    assert {share for _, share in curves.wanted} == {0.1, 0.5, 1.0}
    assert curves.rolls_back == pytest.approx(100) and curves.proves == pytest.approx(20)
    assert len(curves.canary_errors) <= COLUMNS
    assert max(value or 0 for _, value in curves.in_favour) >= curves.proves
    assert max(value or 0 for _, value in curves.against) < curves.rolls_back


def test_a_bad_release_crosses_the_line_and_goes_back_to_nothing() -> None:
    back = accounts_of(seen("bad")[0])[-1].moved(back=True)[0].at
    curves = curves_of(recording("bad"), back)
    assert (curves.against[-1][1] or 0) >= curves.rolls_back
    assert curves.observed[-1][1] == curves.wanted[-1][1] == 0.0
    rates = [value for _, value in curves.canary_errors if value is not None]
    assert max(rates) == pytest.approx(0.06, abs=0.03)
    assert "unsafe" in [text for _, text in curves.marks]


def test_where_nothing_was_recorded_the_page_has_no_charts(tmp_path: Path) -> None:
    view, _ = seen("good")
    text = page(view, StateDirectory(tmp_path), NOW)
    assert "<svg" not in text and "Status" in text


def test_a_recording_that_is_damaged_is_said_and_costs_only_the_charts(tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "shop-1-production.jsonl").write_text('{"kind":"<b>"}\n{}\n')
    text = page(seen("good")[0], StateDirectory(tmp_path), NOW)
    assert "What was recorded cannot be drawn" in text and "<b>" not in text
    assert Page(text)


def test_an_exception_is_printed_in_red(tmp_path: Path) -> None:
    view, _ = seen("good")
    run = view.rollouts[-1]
    word = Entry(run.started, "override", "gate window overridden by ada: the shop is on fire", {"by": "ada"})
    told = replace(view, entries={**view.entries, run.id: (*view.entries[run.id], word)})
    text = page(told, StateDirectory(tmp_path), NOW)
    alarm = re.search(r'<section class="alarm">(.*?)</section>', text, re.DOTALL)
    assert alarm and "BREAK-GLASS" in alarm[1] and "the shop is on fire" in alarm[1]
    assert ".alarm *{color:var(--bad)}" in text


def test_a_secret_is_in_no_page(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / ("0" * 32)).write_text("quoted")
    assert "quoted" not in written("evil", tmp_path)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] if len(colour) == 7 else [1.0] * 3
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_every_colour_of_text_and_lines_has_contrast_in_light_dark_and_print(tmp_path: Path) -> None:
    text = page(seen("good")[0], StateDirectory(tmp_path), NOW)
    themes = [dict(re.findall(r"--(\w+):(#\w+)", theme)) for theme in re.findall(r":root\{(.*?)\}", text, re.DOTALL)]
    assert len(themes) == 3
    for theme in themes:
        for name in ("text", "faint", "canary", "stable", "bad", "good"):
            colour = theme[name] if len(theme[name]) == 7 else "#" + "".join(2 * d for d in theme[name][1:])
            ground = "#ffffff" if theme["page"] == "#fff" else theme["page"]
            light, dark = sorted((luminance(colour), luminance(ground)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, theme)


def test_a_chart_of_nothing_can_be_drawn() -> None:
    empty = Chart("x", "T", "D.", "n (ms)", (Line("a", "canary", ()),), (Limit("l", 3.0),))
    assert ElementTree.fromstring(svg(empty)).findtext("title") == "T"
    gaps = Line("a", "canary", ((0.0, None), (1.0, 2.0), (2.0, None), (3.0, 4.0), (4.0, 5.0)))
    drawn = ElementTree.fromstring(svg(replace(empty, lines=(gaps,), seconds=4.0)))
    assert [path.get("d", "").count("M") for path in drawn.iter("path") if path.get("class") == "line canary"] == [2, 1]
    assert len(list(drawn.iter("circle"))) == 1


def test_evidence_without_bounds_stays_on_the_scale() -> None:
    wild = Line("a", "bad", ((0.0, 0.0), (1.0, 1e-30), (2.0, 1e300), (3.0, None)))
    drawn = svg(Chart("x", "T", "D.", "odds", (wild,), seconds=3.0, logarithmic=True))
    assert "nan" not in drawn and "inf" not in drawn
    assert ElementTree.fromstring(drawn) is not None


def test_the_story_ended_as_told() -> None:
    phases = {kind: seen(kind)[0].current.phase for kind in ("good", "bad", "dead", "evil")}
    assert phases["good"] is Phase.SUCCEEDED
    assert phases["bad"] is phases["dead"] is Phase.ROLLED_BACK
