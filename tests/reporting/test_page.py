"""The page of an audit as a file: well-formed, complete, escaped, and without anything to load."""

import base64
import hashlib
import math
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from printed import holds
from report_pages import Page, page_of, page_of_case
from reports import CASES, a_pair, report_of
from sampled import sampled

import kd2m_theory as kd2m
from kd2m_theory.bounds import ROWS
from kd2m_theory.bounds.result import WITHOUT_NUMBER
from kd2m_theory.bounds.targets import MEASURED
from kd2m_theory.reporting.citation import PAPER, software
from kd2m_theory.reporting.html import Html, element
from kd2m_theory.reporting.ladder_scale import UNITS
from kd2m_theory.reporting.page import html_page
from kd2m_theory.validation.trial.pages import theorem_of
from kd2m_theory.words import number

ROOT = Path(__file__).parents[2]
# Attributes that make a browser fetch something when the page opens.
LOADING = {"src", "srcset", "data", "poster", "background", "action", "formaction", "xlink:href", "manifest", "style"}


EVERY_RUN = ("plain", "unlabelled", "violated", "groups", "no rows")


@pytest.mark.parametrize("case", sampled(CASES, always=EVERY_RUN))
def test_every_page_is_well_formed_and_says_what_it_is(case):
    page = page_of_case(case)
    assert [node["lang"] for node in page.all("html")] == ["en"]
    assert len(page.all("title")) == len(page.all("h1")) == len(page.all("main")) == 1
    meta = {node.get("name"): node["content"] for node in page.all("meta") if "content" in node}
    assert meta["viewport"] == "width=device-width, initial-scale=1"
    assert meta["color-scheme"] == "light dark"
    levels = [int(node["tag"][1]) for node in page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [node["id"] for node in page.found if "id" in node]
    assert len(ids) == len(set(ids))
    for link in page.all("a"):
        assert link["href"] == PAPER.url or link["href"].removeprefix("#") in ids
    assert page.all("a")[0]["class"] == "skip"
    for node in page.found:
        if "aria-labelledby" in node:
            assert node["aria-labelledby"] in ids


@pytest.mark.parametrize("case", sampled(CASES, always=EVERY_RUN))
def test_tables_are_tables_in_regions_that_the_keyboard_reaches(case):
    page = page_of_case(case)
    regions = [node for node in page.found if node.get("role") == "region"]
    tables = page.all("table")
    assert len(regions) == len(tables) == len(page.all("caption"))
    assert all(region["tabindex"] == "0" for region in regions)
    assert len({region["aria-label"] for region in regions}) == len(regions)
    assert all(node["scope"] in ("row", "col") for node in page.all("th"))
    ids = [node["id"] for node in page.found if "id" in node]
    widths = [0]
    for node in page.found:
        if node["tag"] == "tr":
            widths.append(0)
        elif node["tag"] in ("th", "td"):
            widths[-1] += int(node.get("colspan", 1))
            assert node.get("headers", ids[0]) in ids
    heads = [k for k, node in enumerate(page.all("tr")) if "thead" in node["inside"]]
    for first, following in zip(heads, [*heads[1:], len(widths) - 1], strict=True):
        assert len(set(widths[first + 1 : following + 1])) == 1


@pytest.mark.parametrize("case", sampled(CASES, always=EVERY_RUN))
def test_every_row_has_the_numbers_of_the_report_to_the_last_digit(case):
    record, page = report_of(case).to_dict(), page_of_case(case)
    shown, values, cells = {}, {}, {}
    for node in page.found:
        if "data-row" in node:
            name = node["data-row"]
            shown[name], values[name], cells[name] = node["text"], [], []
        elif node["tag"] == "data":
            values[name].append(float(node["value"]))
        elif node.get("class") == "number" and "tbody" in node["inside"]:
            cells[name].append(node["text"])
        elif node["tag"] == "h2":
            name = node["id"]
            values[name], cells[name] = [], []
    assert set(shown) == {row["name"] for row in record["rows"]} | {f"measured.{name}" for name in record["measured"]}
    for row in record["rows"]:
        finite = [row[key] for key in ("lower", "upper", "ratio") if row[key] is not None]
        assert values[row["name"]] == finite
        if row["measured"] is not None and row["ratio"] is None:
            assert cells[row["name"]][-1] == "∞"
        assert row["statement"] in shown[row["name"]]
        assert row["sentence"] in shown[row["name"]]
        if row["status"] in WITHOUT_NUMBER:
            assert f"{row['status']}: {row['why']}." in shown[row["name"]]
            assert cells[row["name"]] == ["–"] * 3
        else:
            lower, upper = (
                -math.inf if row["lower"] is None else row["lower"],
                math.inf if row["upper"] is None else row["upper"],
            )
            assert holds(*cells[row["name"]][:2], lower, upper, 4)
            assert ("✗\u00a0NO" in shown[row["name"]]) == (row["holds"] is False)
        for assumption in row["assumptions"]:
            assert assumption["name"] in shown[row["name"]]
            assert assumption["evidence"] in page.all("body")[0]["text"]
    for name, value in record["measured"].items():
        assert values[f"measured.{name}"] == [value[key] for key in ("value", "lower", "upper")]
        assert MEASURED[name] in page.all("body")[0]["text"]


def test_every_row_that_can_occur_has_its_own_sentence():
    sentences = {row.name: row.sentence for row in ROWS}
    assert all(re.fullmatch(r"[A-ZW₂].{20,180}\.", sentence) for sentence in sentences.values())
    assert all("{" not in sentence for sentence in sentences.values())
    assert len(set(sentences.values())) == len(ROWS)
    for name, sentence in sentences.items():
        for other in re.findall(r"\b[TF]\d+(?:\.\w+)*", sentence):
            assert other in sentences, f"{name} speaks of {other}"


@pytest.mark.parametrize("case", sampled(CASES, always=EVERY_RUN))
def test_nothing_is_loaded_and_the_browser_is_told_to_refuse_it(case):
    page = page_of_case(case)
    assert not {node["tag"] for node in page.found} & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    for node in page.found:
        assert not LOADING & set(node)
        assert not any(key.startswith("on") for key in node)
    (style,) = page.all("style")
    assert not re.search(r"url\(|@import|@font-face", style["text"])
    (policy,) = [node["content"] for node in page.all("meta") if node.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(style["text"].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'"


HOSTILE = {
    "<script>alert(1)</script>": "</td></table><script>alert(2)</script>",
    'quote" onmouseover="alert(3)': "<img src=http://example.org/x onerror=alert(4)>",
    "</style><style>*{display:none}": "</title></head><body>&lt;b&gt; & &amp;",
    "‮reversed": "zero\x00byte, half \ud800, \u2067isolate",
    "long": "word" * 400,
}


def test_hostile_provenance_stays_text():
    tame = page_of(
        replace(report_of("plain"), provenance={f"key {k}": "word" for k in range(len(HOSTILE))}), command="kd2m audit"
    )
    text = html_page(replace(report_of("plain"), provenance=HOSTILE).to_dict(), "kd2m audit '</code><script>'")
    text.encode()
    wild = Page(text)
    assert [node["tag"] for node in wild.found] == [node["tag"] for node in tame.found]
    shown = {node["text"] for node in wild.all("bdi")}
    assert "</td></table><script>alert(2)</script>" in shown
    assert "</title></head><body>&lt;b&gt; & &amp;" in shown
    assert "zero\ufffdbyte, half \ufffd, \ufffdisolate" in shown
    assert "\ufffdreversed" in shown
    assert wild.all("code")[0]["text"] == "kd2m audit '</code><script>'"


def test_only_markup_made_by_element_is_markup():
    inner = element("b", "<i>", title='"<>&')
    assert inner == '<b title="&quot;&lt;&gt;&amp;">&lt;i&gt;</b>'
    assert element("p", inner, str(inner)[:2] + "x") == f"<p>{inner}&lt;bx</p>"
    assert isinstance(inner, Html)
    assert element("meta", http_equiv="x") == '<meta http-equiv="x"/>'


def test_a_violated_bound_is_said_before_anything_else():
    page = page_of_case("violated")
    assert page.all("title")[0]["text"].startswith("Violated")
    assert page.all("strong")[0]["text"].startswith("✗ Violated: T0.error. ")
    assert page.all("p")[1]["class"] == "alarm"
    (row,) = [node for node in page.found if node.get("data-row") == "T0.error"]
    assert row["class"] == "alarm"
    assert "✗\u00a0NO" in row["text"]
    for case in EVERY_RUN:
        if case != "violated":
            assert "Violated" not in page_of_case(case).all("html")[0]["text"]


def panels_of(page):
    """For every figure of the ladder, whether it is in a fold, and the names of its rows."""
    panels = []
    for node in page.found:
        if node.get("class") == "ladder":
            panels.append(("details" in node["inside"], []))
        elif node.get("class") == "name":
            panels[-1][1].append(node["text"])
    return panels


@pytest.mark.parametrize("case", sampled(CASES, always=EVERY_RUN))
def test_the_ladder_draws_every_applicable_row_of_its_targets_the_tightest_first(case):
    record, page = report_of(case).to_dict(), page_of_case(case)
    drawn = {row["name"]: row for row in record["rows"] if row["target"] in UNITS and row["status"] not in WITHOUT_NUMBER}
    panels = panels_of(page)
    names = [name for _, panel in panels for name in panel]
    assert sorted(names) == sorted(drawn)
    for folded, panel in panels:
        assert len({drawn[name]["target"] for name in panel}) == 1
        for name in panel:
            row = drawn[name]
            assert folded == (row["holds"] is not False and (not row["guaranteed"] or row["status"] == "vacuous"))
        sides = [(drawn[name]["lower"], drawn[name]["upper"]) for name in panel]
        widths = [math.inf if None in ends else ends[1] - ends[0] for ends in sides]
        assert widths == sorted(widths)
    for node in page.found:
        for key in ("x", "x1", "x2", "cx", "width"):
            if node.get(key, "").endswith("%"):
                assert 0 <= float(node[key][:-1]) <= 100


def test_bars_end_where_the_logarithm_of_the_bound_is():
    record, page = report_of("plain").to_dict(), page_of_case("plain")
    # Panels of one unit share an axis, those in the fold another one.
    drawn = {name for folded, panel in panels_of(page) for name in panel if not folded}
    rows = {row["name"]: row for row in record["rows"] if row["target"] in ("gap", "gap_shared_head") and row["name"] in drawn}
    assert len(rows) > 8
    ends, name = {}, ""
    for node in page.found:
        if node.get("class") == "name":
            name = node["text"]
        elif node["tag"] == "circle" and name in rows:
            ends[name] = float(node["cx"][:-1])  # the last circle of a row is its upper end
    assert len(ends) == len(rows)
    logs = np.array([math.log(rows[name]["upper"]) for name in ends])
    slope, offset = np.polyfit(logs, list(ends.values()), 1)
    assert slope > 0
    np.testing.assert_allclose(slope * logs + offset, list(ends.values()), atol=0.02)


def test_a_better_student_turns_the_axis_round():
    captions = [node["text"] for node in page_of_case("student better").all("figcaption")]
    assert any(caption.startswith("R_T − R_S, as the difference is negative, nats") for caption in captions)


@pytest.mark.parametrize("case", sampled(CASES, always=EVERY_RUN))
def test_each_reason_why_rows_do_not_apply_is_one_line(case):
    record, page = report_of(case).to_dict(), page_of_case(case)
    lines = [node["text"] for node in page.all("p")]
    absent = [row for row in record["rows"] if row["status"] == "not applicable"]
    for why in {row["why"] for row in absent}:
        names = [row["name"] for row in absent if row["why"] == why]
        count = f"{len(names)} row{'' if len(names) == 1 else 's'}"
        assert lines.count(f"{count}: {why}. ({', '.join(names)})") == 1
    summaries = [node["text"] for node in page.all("summary")]
    words = f"{len(absent)} row{' does' if len(absent) == 1 else 's do'} not apply"
    assert any(text.startswith(words) for text in summaries) == bool(absent)


@pytest.mark.parametrize("case", sampled(CASES, always=EVERY_RUN))
def test_what_is_not_the_answer_is_folded_and_says_what_is_inside(case):
    page = page_of_case(case)
    for k, node in enumerate(page.found):
        if node["tag"] == "details":
            assert "open" not in node
            assert page.found[k + 1]["tag"] == "summary"
            assert len(page.found[k + 1]["text"].split()) > 2
    open_tables = {node["class"] for node in page.all("table") if "details" not in node["inside"]}
    assert open_tables <= {"measured", "relied"}
    assert not [node for node in page.all("pre", "math") if "details" not in node["inside"]]


def test_formulas_and_where_the_proof_is_stand_with_every_row():
    page = page_of_case("plain")
    shown = {node["data-row"]: node["text"] for node in page.found if "data-row" in node}
    drawn = {node["aria-label"] for node in page.found if node.get("class") == "formula"}
    for row in ROWS:
        assert f"Formula of {row.name}" in drawn
        assert theorem_of(row).latex
        assert f"kd2m theory show {row.name}" in shown[row.name]


def test_a_row_that_was_stated_otherwise_has_no_formula():
    """A stored report of another version may say something else under the same name."""
    report = report_of("one row")
    other = replace(report, rows=tuple(replace(row, statement="R_S is small") for row in report.rows))
    assert page_of(report).all("math")
    assert not page_of(other).all("math")


def test_what_is_relied_on_is_what_the_data_did_not_show():
    record = report_of("plain").to_dict()
    lines = [node["text"] for node in page_of_case("plain").all("tr") if "details" not in node["inside"]]
    applicable = [row for row in record["rows"] if row["status"] != "not applicable"]
    for name, state in {(each["name"], each["state"]) for row in applicable for each in row["assumptions"]}:
        users = sum(any((each["name"], each["state"]) == (name, state) for each in row["assumptions"]) for row in applicable)
        found = [line for line in lines if line.startswith(name) and line.endswith(str(users))]
        assert bool(found) == (state != "met"), name


def test_citations_are_those_of_the_citation_file():
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    paper = cff["preferred-citation"]
    assert (PAPER.title, PAPER.year, PAPER.url) == (paper["title"], str(paper["year"]), paper["url"])
    assert PAPER.authors == tuple(f"{author['family-names']}, {author['given-names']}" for author in paper["authors"])
    assert PAPER.identifier == paper["identifiers"][0]["value"]
    assert PAPER.note == paper["notes"]
    ours = software(cff["version"])
    assert (ours.title, ours.authors) == (cff["title"], tuple(author["name"] for author in cff["authors"]))
    code = page_of_case("plain").all("code")[-1]["text"]
    assert code == f"{ours.bibtex()}\n\n{PAPER.bibtex()}"
    assert f"version {cff['version']}" in code
    assert cff["message"].startswith("If you use this software, please cite it and the paper whose framework it implements")


PRINTED = ("plain", "told much", "told of the teacher", "evaluated teacher", "one row")


@pytest.mark.parametrize("case", sampled(PRINTED, always=["told much", "told of the teacher"]))
def test_the_printed_call_gives_the_same_numbers(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a_pair(**({"labels": None} if case == "told of the teacher" else {})).save("pair.safetensors")
    setup, call = page_of_case(case).all("code")[0]["text"].split("\n\n")
    names: dict = {"evaluation": a_pair()}
    exec(setup, names)
    again, first = eval(call, names).to_dict(), report_of(case).to_dict()
    for key in ("delta", "share", "n", "classes", "settings", "measured", "violations"):
        assert again[key] == first[key]
    timed = {"seconds": None}
    pairs = zip(again["rows"], first["rows"], strict=True)
    # Where an audit was interrupted no call can say.
    there = [both for both in pairs if case != "interrupted" or both[1]["status"] != "not computed"]
    assert len(there) > 20 or case in ("one row", "no rows")
    assert all(one | timed == other | timed for one, other in there)


def test_a_report_remembers_what_it_was_told():
    assert report_of("told much").to_dict()["settings"] == {
        "only": None,
        "rows": [],
        "stream": False,
        "align": False,
        "loss_bound": 5.0,
        "head_lipschitz": None,
        "temperature": 4.0,
        "vouch": ["gaussian classes"],
        "whole_cloud": False,
        "seconds": None,
        "teacher_risk": None,
        "teacher_error": None,
    }
    assert report_of("one row").settings["only"] == ["T5"]
    text = page_of_case("told much").all("table")[-1]["text"]
    assert "vouchgaussian classes" in text
    assert "whole_cloudno" in text
    assert "head_lipschitznot given" in text
    assert report_of("told of the teacher").settings["teacher_risk"] == {
        "value": {"0": [0.1, 2.0], "2": [0.0, 1.5]},
        "about": "sample",
    }
    assert report_of("evaluated teacher").settings["teacher_error"] == {"samples": 60}
    text = page_of_case("told of the teacher").all("table")[-1]["text"]
    assert "teacher_riskclass 0: 0.1 to 2, class 2: 0 to 1.5, on these inputs" in text
    assert "teacher_error0.01 to 0.2, in the population" in text
    assert "teacher_riskan evaluation on 60 labelled inputs" in page_of_case("evaluated teacher").all("table")[-1]["text"]


def test_yardsticks_are_the_guess_the_teacher_and_the_shares():
    record = report_of("plain").to_dict()
    (table,) = [node for node in page_of_case("plain").all("table") if node["class"] == "yardsticks"]
    limits = round(record["delta"] / record["share"])
    assert limits > 1
    for words in (
        f"ln K{number(math.log(3), 6)}nats",
        f"1 − 1/K{number(2 / 3, 6)}probability",
        f"cross-entropy of the teacher{number(record['measured']['risk_teacher']['value'], 6)}nats",
        "error of the teacher0probability",
        "samples n60samples",
        "classes K3classes",
        "together0.05probability",
        f"each of {limits} limits",
    ):
        assert words in table["text"]


def contrast(first, second):
    def luminance(colour):
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        red, green, blue = (x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colours_can_be_read_in_every_theme():
    themes = re.findall(r":root \{(.*?)\}", page_of_case("plain").all("style")[0]["text"], re.DOTALL)
    assert len(themes) == 3  # light, dark, print
    for theme in themes:
        colours = dict(re.findall(r"--(\w+): (#\w{6});", theme))
        words = [("ink", "paper"), ("muted", "paper"), ("blue", "paper"), ("alarm", "paper")]
        words += [("ink", "band"), ("ink", "shade"), ("alarm", "shade"), ("muted", "shade")]
        marks = [
            ("green", "paper"),
            ("orange", "paper"),
            ("orange", "band"),
            ("green", "band"),
            ("blue", "band"),
            ("muted", "band"),
        ]
        for least, pairs in ((4.5, words), (3.0, marks)):
            for front, back in pairs:
                assert contrast(colours[front], colours[back]) >= least, (front, back, theme)


def test_the_same_report_gives_the_same_file(tmp_path):
    report = report_of("plain")
    for name in ("a.html", "b.html"):
        report.to_html(tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes() == html_page(report.to_dict()).encode()
    for path in (tmp_path / "c.htm", tmp_path / "none" / "c.html", tmp_path):
        with pytest.raises(kd2m.InputError):
            report.to_html(path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_a_page_needs_neither_torch_nor_matplotlib(tmp_path):
    code = (
        "import sys, numpy as np, kd2m_theory as k\n"
        "z = np.random.default_rng(0).normal(size=(20, 3))\n"
        "k.audit(k.Pair(z, z + 0.1, labels=np.arange(20) % 2, head_weight=np.eye(2, 3))).to_html(sys.argv[1])\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, "a.html"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert not {"torch", "matplotlib", "ot"} & set(done.stdout.split())
