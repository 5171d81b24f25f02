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
from typing import Any
from xml.etree import ElementTree

import pytest

from leaf_embed.errors import MissingExtraError
from leaf_embed.evaluation import EvaluationReport, evaluate
from leaf_embed.evaluation.agreement import OwnTexts
from leaf_embed.evaluation.report.figures import bytes_per_vector, cost_figures, quality_figures
from leaf_embed.evaluation.report.page import html_page
from leaf_embed.evaluation.report.plots import Series, bars, curves, forest, scatter, shares
from leaf_embed.evaluation.size import ProcessCosts
from leaf_embed.qdrant.schema.quantization import QUANTIZATIONS
from tests.evaluation.test_evaluate import DOCUMENTS, OTHER_SET, SET, Letters

VOID = {"meta", "link"}
KEPT = {"status", "kind", "role"}  # of a few values, which a schema holds


OWN = OwnTexts(("a", "b"), ("ab", "bb"), {"repeated texts in log.txt": 2}), OwnTexts(DOCUMENTS, DOCUMENTS, {})
TIMES = {
    **{f"{who}_{name}_ms": value for who, value in (("leaf", 0.5), ("teacher", 10)) for name in ("p50", "p95", "cpu")},
    "queries": 3,
    "threads": {"leaf": 1, "teacher": 1},
    "ratio": 20.0,
    "refused": "",
    "machine": {"cores": 2, "other_processes": 0.1, "interruptions_per_second": 3.0, "load": 0.2},
}


@pytest.fixture(scope="module")
def report() -> EvaluationReport:
    kinds, sets = ["float32", "int8", "binary"], [SET, OTHER_SET]
    return evaluate(Letters(blind=True), Letters(), sets, [3, 2], kinds, rotation="fitted", own=OWN, latency_queries=0)


@pytest.fixture(scope="module")
def value(report: EvaluationReport) -> dict[str, Any]:
    """Its JSON form, with what a command line adds and times that are the same everywhere."""
    found = {**json.loads(json.dumps(report.to_dict())), "latency": TIMES, "leaf": "my-leaf"}
    found["provenance"] |= {"leaf_precision": "int8", "teacher_precision": "bfloat16"}
    found["provenance"]["options"] |= {"variant": "int8", "split": "dev", "max_queries": 2000}
    return found


@pytest.fixture(scope="module")
def page(value: dict[str, Any]) -> str:
    return html_page(value)


@pytest.fixture(scope="module")
def bare(value: dict[str, Any]) -> dict[str, Any]:
    """The same without retrieval sets, which makes a page without plots."""
    return {**value, "sets": [], "mean": []}


def tables_of(page: str) -> dict[str, tuple[list[str], list[list[str]]]]:
    """By caption the head and the rows of every table."""
    found = {}
    for table in re.findall(r"<table>.*?</table>", page, re.S):
        caption = re.search(r"<caption>(.*?)( <small>|</caption>)", table)
        assert caption is not None
        rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", table, re.S)]
        found[caption[1]] = (rows[0], rows[1:])
    return found


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


def test_the_page_is_whole_and_needs_nothing(page: str) -> None:
    checker = Balance()
    checker.feed(page)
    assert checker.open == []
    assert {"svg", "table", "details", "caption"} <= checker.seen
    assert "script" not in checker.seen
    assert not re.search(r"https?:|url\(|src=|@import", page)
    assert page.count("<svg") == 8  # sets, three quantizations, bytes twice, speed, cosines
    for picture in re.findall(r"<svg.*?</svg>", page, re.S):
        ElementTree.fromstring(picture)
    for rule in ("prefers-color-scheme: dark", "@media print", "details::details-content"):
        assert rule in page


def test_the_page_begins_with_the_verdict_and_goes_on_in_order(page: str, value: dict[str, Any]) -> None:
    sentence = escape(value["verdict"]["sentence"])
    assert re.search(
        rf"<h1>.*?</h1>\s*<p class=\"verdict unknown\"><b>\? no verdict</b>{re.escape(sentence)}</p>", page
    )
    ids = re.findall(r'<section aria-labelledby="(\w+)"><h2 id="\1">', page)
    assert ids == ["quality", "bytes", "agreement", "speed", "groups", "vectors", "losses", "provenance"]


@pytest.mark.parametrize(
    ("status", "words"),
    [("shown", "\u2713 shown"), ("not shown", "\u25cb not shown"), ("below", "\u2717 shown to keep less")],
)
def test_a_verdict_is_told_without_its_colour(bare: dict[str, Any], status: str, words: str) -> None:
    page = html_page({**bare, "verdict": {**bare["verdict"], "status": status}})
    assert f'<p class="verdict {status.replace(" ", "-")}"><b>{words}</b>' in page


def test_tables_can_be_read_aloud_and_scrolled_by_keys(page: str) -> None:
    tables = re.findall(
        r'<div class="scroll[^>]*tabindex="0" role="region" aria-label="([^"]+)"><table>\s*(.*?)</table>', page, re.S
    )
    assert len(tables) == page.count("<table>") == len({label for label, _ in tables})
    for label, table in tables:
        assert table.startswith(f"<caption>{label}")
        head, body = table.split("<tbody>")
        assert head.count("<th") - 1 == head.count('<th scope="col"') > 0  # less <thead>
        for row in re.findall(r"<tr>(.*?)</tr>", body):
            assert row.startswith('<th scope="row"')
            assert row.count("<td") == head.count('<th scope="col"') - 1


def test_the_page_says_what_was_measured(report: EvaluationReport, page: str) -> None:
    kept = report.retention("asymmetric")
    assert kept is not None
    assert f"<b>{kept.value:.1%}</b>" in page
    assert "too few queries for an interval" in page
    assert "<summary>letters: 1 queries</summary>" in page
    assert '<li class="relevant"><code>bbbb</code> bbbb</li>' in page
    assert "3 rotated" in page
    assert "2 repeated texts in log.txt" in page


def test_sets_and_metrics_with_their_means(page: str, value: dict[str, Any]) -> None:
    """Of four queries the blind leaf loses one, at nDCG@10 1 / log2(6)."""
    tables = tables_of(page)
    head, rows = tables["nDCG@10 at full dimensions in float32, and the number of queries that changed"]
    cells = [dict(zip(head, row, strict=True)) for row in rows]
    assert [row[0] for row in rows] == ["letters", "other", "mean of 2"]
    assert [row[head.index("lost / equal / won")] for row in rows] == ["1 / 2 / 0", "0 / 1 / 0", "1 / 3 / 0"]
    assert [row["queries"] for row in cells] == ["3 \u2020", "1 \u2020", "4"]
    head, rows = tables["All metrics at full dimensions in float32"]
    assert head == ["set", "mode", "nDCG@10", "Recall@100", "MRR@10", "MAP@100"]
    assert rows[1] == [
        "letters",
        "leaf queries, teacher documents",
        *(f"{x} \u2020" for x in ("0.7956", "1.0000", "0.7333", "0.7333")),
    ]
    assert len(rows) == 9
    means = [point["modes"]["symmetric"] for point in value["mean"][:1]]
    assert rows[-1][2:] == [f"{means[0][name]:.4f}" for name in head[2:]]


def test_every_point_as_a_share_of_both_teachers(page: str, value: dict[str, Any]) -> None:
    head, rows = tables_of(page)["nDCG@10, mean over 2 sets"]
    assert len(rows) == len(value["mean"])
    full = value["mean"][0]["modes"]["teacher"]["nDCG@10"]
    for point, row in zip(value["mean"], rows, strict=True):
        leaf = point["modes"]["asymmetric"]
        assert row[head.index("of the full teacher")] == f"{leaf['nDCG@10'] / full:.1%}"
        assert row[head.index("of the teacher at this point")].startswith(f"{leaf['retention']['value']:.1%}")
    by_point = {(row[0], row[1]): row[2] for row in rows}
    assert (by_point["4", "float32"], by_point["3", "int8"], by_point["2", "binary"]) == ("16", "3", "0.25")


def test_bytes_are_those_of_the_engine() -> None:
    for name, kind in QUANTIZATIONS.items():
        if name != "none":
            assert bytes_per_vector(384, name) == 384 * kind.bits / 8
            assert bytes_per_vector(384, f"{name}-rescored") == 384 * kind.bits / 8
    assert bytes_per_vector(384, "float32") == 1536
    assert bytes_per_vector(384, "mine") is None


def test_nothing_is_told_by_colour_alone(value: dict[str, Any]) -> None:
    found = [*quality_figures(value), *cost_figures(value)]
    assert len(found) == 6
    for figure in found:
        marks = [(key.glyph, key.dashed) for key in figure.keys]
        assert len(set(marks)) == len(marks) > 1


def test_the_provenance_is_whole(page: str, value: dict[str, Any]) -> None:
    tables = tables_of(page)
    found = dict(tables["How it was measured"][1])
    assert found["date"] == value["provenance"]["date"]
    assert (found["variant"], found["option split"], found["option max_queries"]) == ("int8", "dev", "2000")
    assert (found["precision of the leaf"], found["precision of the teacher"]) == ("int8", "bfloat16")
    assert found["threads while timed"] == "leaf 1, teacher 1"
    assert found["option quantization"] == "float32, int8, binary"
    assert found["space"] == value["fingerprint"]
    data = tables["The data"][1]
    assert [row[4] for row in data] == [one["data"]["qrels_digest"] for one in value["sets"]]
    assert "judgements of documents that the corpus lacks" in data[1][5]


def test_a_refused_ratio_is_refused_on_the_page(bare: dict[str, Any], page: str) -> None:
    assert "<b>20.0 times</b><span>faster" in page
    refused = {**TIMES, "ratio": None, "refused": "other processes used 1.6 of 2 cores"}
    page = html_page({**bare, "latency": refused})
    assert page.count("other processes used 1.6 of 2 cores") == 2
    assert "faster" not in page


def test_the_costs_of_a_process(bare: dict[str, Any], page: str) -> None:
    assert "What a process costs" not in page
    costs = ProcessCosts(1, 0.25, 99.0, 1200.0, 0.36, 0.5, "other processes used 2.0 of 2 cores").to_dict()
    found = {**bare, "costs": {**costs, "per_million_one_by_one": {"leaf": 0.07, "teacher": 1.3}}}
    rows = dict(tables_of(html_page(found))["What a process costs that asks the leaf"][1])
    assert rows["new process to first vector"] == "0.25 s"
    assert rows["a million queries in batches, at 0.5 per core and hour"] == "0.05"
    assert rows["a million queries one by one, teacher, at 0.5 per core and hour"] == "1.3"
    assert rows["measured on a busy machine"] == "other processes used 2.0 of 2 cores"


def test_texts_are_escaped(value: dict[str, Any]) -> None:
    """Everywhere: each string of the report is an attack in its turn."""
    bad = "<script>alert(1)</script>\"'&"

    def attacked(found: Any) -> Any:
        if isinstance(found, dict):
            return {key: one if key in KEPT else attacked(one) for key, one in found.items()}
        if isinstance(found, list):
            return [attacked(one) for one in found]
        return f"{found}{bad}" if isinstance(found, str) else found

    few = {**value, "mean": value["mean"][:1], "sets": [{**one, "cosine_histograms": {}} for one in value["sets"]]}
    page = html_page(attacked(few))
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)") > 20
    checker = Balance()
    checker.feed(page)
    assert checker.open == []


def test_a_page_without_the_optional_parts() -> None:
    page = html_page(evaluate(Letters(), Letters(), [SET], latency_queries=0).to_dict())
    assert "faster" not in page
    assert "no query loses anything" in page


def test_points_stand_where_they_belong() -> None:
    one = [Series("a", [(1.0, 0.2), (100.0, 0.8)], "teacher")]
    drawn = scatter(one, "t", "x", "y"), shares(one, "t", "x", [0.2, 0.8]), shares(one, "t", "x", [0.2, 0.8], log=True)
    for picture in drawn:
        dots = [(float(dot.get("x", 0)), float(dot.get("y", 0))) for dot in shown(picture, "use")]
        assert len(dots) == 2
        assert dots[0][1] > dots[1][1]  # a higher value stands higher
        assert (dots[0][0] < dots[1][0]) == (picture != drawn[1])  # at equal distances the largest x comes first
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
    picture = ElementTree.fromstring(shares(one, "t", "x", []))
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


def test_intervals_stand_where_they_belong() -> None:
    """A share of 100 % stands on the line of 100 %, and an interval is as long as its limits are apart."""
    one = [Series("a", [(0, 1.0), (1, 0.5)], "asymmetric", intervals=[(0.9, 1.1), (0.4, 0.6)])]
    picture = forest(one, ["first", "second"], "t")
    dots = [(float(dot.get("x", 0)), float(dot.get("y", 0))) for dot in shown(picture, "use")]
    assert dots[0][0] > dots[1][0]
    assert dots[0][1] < dots[1][1]
    upright = re.findall(
        r'd="M (\S+) \S+ \s*L (\S+) \S+ \s*" style="fill: none; stroke: var\(--soft\); stroke-width: 1.2', picture
    )
    assert float(upright[0][0]) == pytest.approx(dots[0][0], abs=0.01)
    level = re.findall(
        r'd="M (\S+) (\S+) \s*L (\S+) (\S+) \s*" style="fill: none; stroke: var\(--asymmetric\)', picture
    )
    lengths = [float(end) - float(x) for x, y, end, same in level if y == same]
    assert len(lengths) == 2
    assert lengths[0] == pytest.approx(lengths[1], abs=0.01)
    assert "second" in picture
    band = shares(
        [Series("a", [(2, 1.0), (1, 0.5)], "kind1", intervals=[(0.9, 1.1), (0.4, 0.6)])], "t", "x", [1.1, 0.4]
    )
    assert "stroke-width: 1.2" in band
    assert band.count("fill-opacity: 0.18") == 1


def test_the_same_report_gives_the_same_page(value: dict[str, Any], page: str) -> None:
    """In another process too, which has other hashes and another time."""
    code = (
        "import json, sys; from leaf_embed.evaluation.report.page import html_page; "
        "sys.stdout.reconfigure(encoding='utf-8'); print(html_page(json.load(sys.stdin)), end='')"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=json.dumps(value), capture_output=True, check=True, text=True)
    assert done.stdout == page


def test_ids_of_a_page_differ(page: str) -> None:
    ids = re.findall(r' id="([^"]*)"', page)
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


def found_browser() -> str:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium here")
    return browser


@pytest.mark.slow
def test_what_is_folded_is_printed(page: str, tmp_path: Path) -> None:
    browser, pages = found_browser(), []
    for text in (
        page,
        page.replace("<details>", "<details open>"),
        page.replace("details::details-content", "nothing"),
    ):
        (tmp_path / "page.html").write_text(text)
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--print-to-pdf={tmp_path / 'page.pdf'}"]
        uri = (tmp_path / "page.html").as_uri()
        subprocess.run([browser, *options, uri], capture_output=True, timeout=120, check=True)
        pages.append(len(re.findall(rb"/Type /Page\b", (tmp_path / "page.pdf").read_bytes())))
    assert pages[0] == pages[1] > pages[2]


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser(value: dict[str, Any], tmp_path: Path, width: int) -> None:
    """No error on the console, and nothing wider than the window, on a telephone and on a desk."""
    browser = found_browser()
    measure = (
        "const d = document.querySelector('iframe').contentDocument; d.querySelectorAll('details').forEach(e => "
        "e.open = true); document.title = 'width ' + d.documentElement.scrollWidth + ' figures ' + "
        "[...d.querySelectorAll('figure')].filter(f => f.getBoundingClientRect().height > 100).length; "
        "console.log('measured');"
    )
    frame = f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{escape(html_page(value))}">'
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
    assert f"<title>width {width} figures 8</title>" in done.stdout


def test_the_environment_of_matplotlib_changes_nothing(tmp_path):
    code = (
        "import hashlib; from leaf_embed.evaluation.report.plots import Series, shares\n"
        "drawn = shares([Series('a', [(1, 2.0), (2, 3.0)])], 'a plot', 'x', [2.0, 3.0])\n"
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
