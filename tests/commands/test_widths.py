"""What commands print at 60, 80, 100 and 140 columns, in a pipe: no line is wider, nothing is cropped, nothing is coloured."""

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.cells import cell_len
from rich.console import Console

from kd2m_theory.paper_figures import registry
from kd2m_theory.reporting.terminal_view import plain
from kd2m_theory.theory.catalogue import theorem
from kd2m_theory.validation.campaigns.page import details, ending
from kd2m_theory.validation.campaigns.standard import STANDARD
from kd2m_theory.validation.campaigns.verdict import Cell, Judgement, Violation
from kd2m_theory.validation.training.demo_table import REPORTS, Beside
from kd2m_theory.validation.training.evaluation import Evaluation
from kd2m_theory.validation.training.pages import results
from kd2m_theory.validation.trial.check import check

PAIR = Path(__file__).parents[1] / "data" / "demo-alone.npz"
UNBOUNDED = 1000
at_every_width = pytest.mark.parametrize("width", [60, 80, 100, 140])
METRIC = """
import numpy as np

def squared(x, y):
    return float(((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum())
"""


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


@pytest.fixture
def printed(command, monkeypatch):
    """Standard output of a command at a width, and the ellipses that it has where there is room for everything."""

    def call(width, *arguments, exit_status=0):
        found = []
        for columns in (width, UNBOUNDED):
            monkeypatch.setenv("COLUMNS", str(columns))
            status, out, err = command(*arguments)
            assert (status, err) == (exit_status, ""), err
            found.append(out)
        return found[0], found[1].count("…")

    return call


@at_every_width
@pytest.mark.parametrize("arguments", [("theory", "list"), ("theory", "show", "T2"), ("figures", "--list")])
def test_lists_and_theorems(printed, width, arguments):
    text, marks = printed(width, *arguments)
    check_fits(text, width, marks=marks)


@at_every_width
def test_the_list_of_figures_names_every_stored_table(printed, width):
    text, _ = printed(width, "figures", "--list")
    for figure in registry.figures():
        assert figure.name in text


@pytest.fixture(scope="module")
def checked():
    return check(catalogue=(theorem("T0"),), identities=(), seconds=0.0)


@at_every_width
def test_theory_check(checked, width):
    check_sections(checked.sections(), width)


@at_every_width
def test_metric_check(printed, width, tmp_path):
    (tmp_path / "mine.py").write_text(METRIC)
    text, marks = printed(width, "metric", "check", "mine:squared", "--examples", "5", exit_status=1)
    table, _, examples = text.partition(" fails:")
    check_fits(table, width, marks=marks - examples.count("…"))


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
    assert beside(width).count("upper bound on the gap") == (2 if width < 100 else 1)


@pytest.fixture(scope="module")
def campaign():
    return STANDARD.read(STANDARD.path(None))


STORE = Path("campaigns/standard")


@at_every_width
def test_validate(campaign, width):
    end = ending(campaign, STORE, STORE / "report")
    text = plain([*details(campaign), end], width)
    check_sections([*details(campaign), end], width, code=("report: ",))
    assert text.endswith(plain([end], width))


def violation():
    name, file = "T2.logits.class_lipschitz", "violations/0123456789abcdef-0060.safetensors"
    return Violation(name=name, run="a run", epoch=60, value=0.123456, lower=-12.3456, upper=0.0123456, file=file)


def cell(verdict):
    counts = {"n": 1000, "delta": 0.05, "trials": 10_000, "certain": 900, "possible": 1000, "lower": 0.08, "upper": 0.11}
    return Cell(run="a run", name="F1.gap", guaranteed=True, power="no radius", verdict=verdict, **counts)


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
