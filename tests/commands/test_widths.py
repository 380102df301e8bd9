"""What commands print at 60, 80, 100 and 140 columns, in a pipe: no line is wider, nothing is cropped, nothing is coloured."""

import io
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.cells import cell_len
from rich.console import Console
from sampled import sampled

from kd2m_theory.commands.metric import _sections
from kd2m_theory.estimators.axioms import check_metric
from kd2m_theory.paper_figures import registry
from kd2m_theory.reporting.terminal_view import plain
from kd2m_theory.theory.catalogue import theorem
from kd2m_theory.validation.campaigns.page import details, ending
from kd2m_theory.validation.campaigns.stored_campaigns import STANDARD
from kd2m_theory.validation.campaigns.verdict import Cell, Judgement, Violation
from kd2m_theory.validation.training.demo_table import REPORTS, Beside
from kd2m_theory.validation.training.evaluation import Evaluation
from kd2m_theory.validation.training.pages import results
from kd2m_theory.validation.trial.check import check
from kd2m_theory.validation.trial.pages import listing, page

PAIR = Path(__file__).parents[1] / "data" / "demo-alone.npz"
UNBOUNDED = 1000
STORE = Path("campaigns/standard")
at_every_width = pytest.mark.parametrize("width", sampled([60, 80, 100, 140], always=[60, 100]))


def check_fits(text, width, *, marks, code=()):
    """No line is wider than the terminal but commands, formulas and single words (paths); `marks` ellipses are the text's own."""
    assert text.strip()
    assert "\x1b" not in text
    assert text.count("…") == marks
    for line in text.splitlines():
        is_code = "\\" in line or line.lstrip().startswith(("kd2m ", *code))
        assert cell_len(line.rstrip()) <= width or is_code or " " not in line.strip(), line


def check_sections(sections, width, code=()):
    sections = list(sections)
    check_fits(plain(sections, width), width, marks=plain(sections, UNBOUNDED).count("…"), code=code)


@at_every_width
@pytest.mark.parametrize("sections", [listing, lambda: page(theorem("T2")), registry.listing], ids=["list", "show", "figures"])
def test_lists_and_theorems(sections, width):
    check_sections(sections(), width)


def test_the_list_of_figures_names_every_figure_where_there_is_little_room():
    lines = plain(registry.listing(), 60).splitlines()
    assert {figure.name for figure in registry.figures()} <= set(lines)


def test_a_command_takes_the_width_of_the_terminal(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    status, out, _ = command("theory", "show", "T2")
    assert status == 0
    assert [line.rstrip() for line in out.splitlines()] == plain(page(theorem("T2")), 60).splitlines()


@pytest.fixture(scope="module")
def checked():
    return check(catalogue=(theorem("T0"),), identities=())


@at_every_width
def test_theory_check(checked, width):
    check_sections(checked.sections(), width)


@pytest.fixture(scope="module")
def squared():
    return check_metric(lambda x, y: float(((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum()), expect="squared", examples=2)


@at_every_width
def test_metric_check(squared, width):
    check_sections(_sections(squared), width)


@at_every_width
def test_label_plan_and_estimate(command, width, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    for arguments in (
        ("label", "plan", PAIR, "--out", "plan.json", "--csv", "labels.csv", "--budget", "20"),
        ("label", "estimate", "plan.json", "labels.csv"),
    ):
        status, out, err = command(*arguments)
        assert (status, err) == (0, "")
        check_fits(out, width, marks=0)
        drawn = (tmp_path / "labels.csv").read_text().splitlines()
        (tmp_path / "labels.csv").write_text("\n".join([drawn[0], *(f"{line.partition(',')[0]},0" for line in drawn[1:])]))


@at_every_width
def test_train(width):
    values = {"accuracy": 0.9, "cross_entropy": 0.25, "entropy": 0.2, "agreement": 0.95, "divergence": 0.01}
    evaluation = Evaluation(**values)
    trained = SimpleNamespace(
        results={(whose, split): evaluation for whose in ("teacher", "student") for split in ("validation", "test")},
        pairs={epoch: Path(f"runs/mixture-cw2/pairs/epoch-{epoch:04}.safetensors") for epoch in (1, 60)},
        violations={1: (), 60: ("T1.l2", "T2.logits.head_aware")},
    )
    check_sections(results(trained), width)


def beside(width):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(Beside({name: stored.read(stored.path(None)) for name, stored in REPORTS.items()}))
    return console.file.getvalue()


@at_every_width
def test_demo(width):
    check_fits(beside(width), width, marks=0)
    assert sum(line.startswith("measured") for line in beside(width).splitlines()) == (2 if width <= 100 else 1)


@pytest.fixture(scope="module")
def campaign():
    found = STANDARD.read(STANDARD.path(None))
    return [*details(found), ending(found, STORE, STORE / "report")]


@at_every_width
def test_validate(campaign, width):
    check_sections(campaign, width, code=("report: ",))
    assert len(plain(campaign[-1:], width).splitlines()) <= 10


def violation():
    name, file = "T2.logits.class_lipschitz", "violations/0123456789abcdef-0060.safetensors"
    return Violation(name=name, run="a run", epoch=60, value=0.123456, lower=-12.3456, upper=0.0123456, file=file)


def cell(verdict):
    counts = {"n": 1000, "delta": 0.05, "trials": 10_000, "certain": 900, "possible": 1000, "lower": 0.08, "upper": 0.11}
    return Cell(run="a run", name="F1.gap", guaranteed=True, power="no radius", verdict=verdict, **counts)


def paragraphs_of(text):
    """Lines of each paragraph of a help between usage and options."""
    prose, _, _ = text.partition("╭")
    paragraphs = "\n".join(line.strip() for line in prose.splitlines()).strip().split("\n\n")
    return [paragraph.splitlines() for paragraph in paragraphs[1:]]


@pytest.mark.parametrize("words", [["audit"], ["report"], ["compare"], ["train"], ["validate", "run"]], ids=" ".join)
def test_a_line_of_help_ends_where_the_next_word_has_no_room(command, monkeypatch, words):
    width = 80
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", width)
    status, out, _ = command(*words, "--help")
    assert status == 0
    assert paragraphs_of(out)
    for lines in paragraphs_of(out):
        for line, following in pairwise(lines):
            assert cell_len(f"{line} {following.split()[0]}") > width - 2, line  # a space at either end


@at_every_width
@pytest.mark.parametrize(
    ("judgement", "missing", "title"),
    [
        (Judgement(123_456, (), (cell("compatible"),) * 400), 0, "VERDICT no guaranteed bound is violated"),
        (Judgement(123_456, (), (cell("compatible"),) * 400), 12_345, "so far: 12,345 tasks are missing"),
        (Judgement(123_456, (violation(),) * 70, (cell("invalid"),) * 400), 12_345, "VERDICT THE CAMPAIGN FAILED"),
        (Judgement(0, (), ()), 0, "VERDICT NOTHING WAS CHECKED"),
    ],
)
def test_the_verdict_of_a_campaign_has_at_most_ten_lines(judgement, missing, title, width):
    found = SimpleNamespace(judgement=judgement, missing=missing, points=12_345, runs=1_234, objectives=["cw2"] * 20)
    text = plain([ending(found, STORE, STORE / "report")], width)
    check_fits(text, width, marks=0, code=("report: ",))
    assert len(text.splitlines()) <= 10
    assert title in " ".join(text.split())
    assert ("kd2m audit campaigns/standard/violations/" in text) == bool(judgement.violations)
    assert text.splitlines()[-1] == "report: campaigns/standard/report/report.md"
    if judgement.cells:
        assert "400 claims" in text
