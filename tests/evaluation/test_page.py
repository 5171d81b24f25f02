"""The report's page: whole, self-contained, and laid out in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from leaf_embed.errors import MissingExtraError
from leaf_embed.evaluation import EvaluationReport, evaluate
from leaf_embed.evaluation.report.page import html_page
from leaf_embed.evaluation.report.plots import Series, bars, curves, lines, scatter
from tests.evaluation.test_evaluate import OTHER_SET, SET, Letters

VOID = {"meta", "link"}


@pytest.fixture(scope="module")
def report() -> EvaluationReport:
    return evaluate(
        Letters(blind=True), Letters(), [SET, OTHER_SET], [3, 2], ["float32", "int8", "binary"], rotation="fitted"
    )


class Balance(HTMLParser):
    """Checks that every element is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)


def test_the_page_is_whole_and_needs_nothing(report: EvaluationReport) -> None:
    page = html_page(json.loads(json.dumps(report.to_dict())))
    checker = Balance()
    checker.feed(page)
    assert checker.open == []
    assert {"svg", "table", "details"} <= checker.seen
    assert "script" not in checker.seen
    assert not re.search(r"https?:|url\(|src=|@import", page)
    assert page.count("<svg") == 5  # speed, three quantizations, cosines
    for picture in re.findall(r"<svg.*?</svg>", page, re.S):
        ElementTree.fromstring(picture)


def test_the_page_says_what_was_measured(report: EvaluationReport) -> None:
    page = html_page(report.to_dict())
    kept = report.retention("asymmetric")
    assert kept is not None
    assert f"<b>{kept.value:.1%}</b>" in page
    assert "too few queries for an interval" in page
    assert "<summary>letters: 1 queries</summary>" in page
    assert '<li class="relevant"><code>bbbb</code> bbbb</li>' in page
    assert "3 rotated" in page


def test_texts_are_escaped(report: EvaluationReport) -> None:
    value = report.to_dict()
    value["sets"][0]["worst_queries"][0]["text"] = "<script>alert(1)</script>"
    value["leaf"] = "a & b"
    page = html_page(value)
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<h1>a &amp; b against its teacher</h1>" in page


def test_a_page_without_the_optional_parts() -> None:
    page = html_page(evaluate(Letters(), Letters(), [SET], latency_queries=0).to_dict())
    assert "faster" not in page
    assert "no query loses anything" in page


def test_points_stand_where_they_belong() -> None:
    one = [Series("a", [(1.0, 0.2), (100.0, 0.8)], "teacher")]
    for picture in (scatter(one, "t", "x", "y"), lines(one, "t", "x", "y")):
        dots = [(float(dot.get("x", 0)), float(dot.get("y", 0))) for dot in shown(picture, "use")]
        assert len(dots) == 2
        assert dots[0][1] > dots[1][1]  # a higher value stands higher
        assert (dots[0][0] < dots[1][0]) == (picture == scatter(one, "t", "x", "y"))  # lines: the largest x first
    picture = bars([Series("a", [(0.5, 0.25), (0.75, 0.75)], "document")], "t", "x", "y", 0.25)
    corners = [[float(y) for y in re.findall(r"[ML] \S+ (\S+)", bar.get("d", ""))] for bar in shown(picture, "path")]
    heights = [max(ys) - min(ys) for ys in corners]
    assert heights[1] == pytest.approx(3 * heights[0], abs=0.2)


def shown(picture: str, kind: str) -> list[ElementTree.Element]:
    """The elements of a kind that say what they are when a pointer rests on them, without definitions."""
    groups = [group for group in ElementTree.fromstring(picture).iter("g") if group.find("title") is not None]
    return [found for group in groups for found in [*group.findall(kind), *group.findall(f"g/{kind}")]]


def test_a_point_says_what_it_is() -> None:
    one = [Series("a & b", [(1.0, 0.25)], "teacher"), Series("c", [(2.0, 0.5)], tips=["<mine>"])]
    picture = ElementTree.fromstring(lines(one, "t", "x", "y"))
    assert [title.text for title in picture.iter("title")] == ["t", "a & b, 1: 0.2500", "<mine>"]


def test_curves_over_decades_with_intervals() -> None:
    """An SVG file of its own: decades at equal distances, and each interval as high as its values are apart."""
    one = Series("a", [(0.1, 1.0), (1.0, 2.0), (10.0, 3.0)], intervals=[(0.5, 1.5), (1.0, 3.0), (2.5, 3.5)])
    picture = curves([one], "t", "x", "y", log=True)
    ElementTree.fromstring(picture)
    places = [float(x) for x in re.findall(r'<g><title>a, .*?<use [^>]*?x="([^"]*)"', picture, re.S)]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], abs=0.01)
    upright = re.findall(r'd="M (\S+) (\S+) \s*L (\S+) (\S+) \s*" style="fill: none; stroke: #1b6ca8', picture)
    heights = [abs(float(y) - float(end)) for x, y, across, end in upright if x == across]
    assert len(heights) == 3
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.01)


def test_quantization_at_full_dimensions_is_a_table() -> None:
    page = html_page(evaluate(Letters(), Letters(), [SET], (), ["float32", "int8"], latency_queries=0).to_dict())
    assert "<figcaption>Quantization at full dimensions</figcaption>" in page
    assert page.count("<svg") == 1  # cosines


def test_the_same_report_gives_the_same_page(report: EvaluationReport) -> None:
    """In another process too, which has other hashes and another time."""
    value = json.dumps(report.to_dict())
    code = (
        "import json, sys; from leaf_embed.evaluation.report.page import html_page; "
        "sys.stdout.reconfigure(encoding='utf-8'); print(html_page(json.load(sys.stdin)), end='')"
    )
    done = subprocess.run([sys.executable, "-c", code], input=value, capture_output=True, check=True, text=True)
    assert done.stdout == html_page(json.loads(value))


def test_ids_of_a_page_differ(report: EvaluationReport) -> None:
    ids = re.findall(r' id="([^"]*)"', html_page(report.to_dict()))
    assert len(ids) == len(set(ids))


def test_everything_is_written_beside_the_json(report: EvaluationReport, tmp_path: Path) -> None:
    files = report.save_all(tmp_path / "found" / "report.json")
    assert [file.name for file in files] == ["report.json", "report.md", "report.html"]
    assert sorted((tmp_path / "found").iterdir()) == sorted(files)
    text = files[1].read_text()
    assert str(report) in text
    assert "### bb (1.00 → 0.39)\n\nTeacher:\n\n1. **relevant** `bbbb` bbbb" in text
    assert "| query    | 1-4" in text
    assert files[2].read_text() == html_page(json.loads(files[0].read_text()))


def test_without_the_extra_all_but_the_page_is_written(
    report: EvaluationReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'leaf-embed\[eval\]'"):
        report.save_all(tmp_path / "report.json")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["report.json", "report.md"]


@pytest.mark.slow
@pytest.mark.parametrize("width", [375, 1280])
def test_in_a_browser(report: EvaluationReport, tmp_path: Path, width: int) -> None:
    """No error on the console, and nothing wider than the window, on a telephone and on a desk."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium here")
    measure = (
        "const d = document.querySelector('iframe').contentDocument; d.querySelectorAll('details').forEach(e => "
        "e.open = true); document.title = 'width ' + d.documentElement.scrollWidth + ' figures ' + "
        "[...d.querySelectorAll('figure')].filter(f => f.getBoundingClientRect().height > 100).length; "
        "console.log('measured');"
    )
    frame = f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{escape(html_page(report.to_dict()))}">'
    page = tmp_path / "frame.html"  # a frame, because a headless window is never as narrow as a telephone
    page.write_text(f"<!doctype html><body>{frame}</iframe><script>onload = () => {{ {measure} }}</script>")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"]
    done = subprocess.run(
        [browser, *options, "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "measured" in done.stderr  # the console is heard, and says nothing else
    assert done.stderr.count("CONSOLE") == 1
    assert f"<title>width {width} figures 5</title>" in done.stdout


def test_the_environment_of_matplotlib_changes_nothing(tmp_path):
    code = (
        "import hashlib; from leaf_embed.evaluation.report.plots import Series, lines\n"
        "drawn = lines([Series('a', [(1, 2.0), (2, 3.0)])], 'a plot', 'x', 'y')\n"
        "print(hashlib.sha256(drawn.encode()).hexdigest())"
    )
    (tmp_path / "matplotlibrc").write_text("text.usetex : True\npath.sketch : 1, 100, 2\nsavefig.bbox : tight\n")
    plain = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    strange = plain | {"MPLBACKEND": "module://no_such_backend"}
    found = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True, check=True
        ).stdout
        for folder, env in ((None, plain), (tmp_path, strange))
    }
    assert len(found) == 1
