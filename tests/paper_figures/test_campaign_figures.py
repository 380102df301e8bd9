from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from kd2m_theory.errors import InputError
from kd2m_theory.paper_figures import (
    campaign_correlation,
    campaign_coverage,
    campaign_tightness,
    campaign_training,
)
from kd2m_theory.paper_figures.campaign_figures import pictures
from kd2m_theory.validation import stored_parts
from kd2m_theory.validation.campaigns import page_part
from kd2m_theory.validation.campaigns.claims import BROKEN
from kd2m_theory.validation.campaigns.findings import Findings
from kd2m_theory.validation.campaigns.table import COLUMNS

MODULES = (campaign_tightness, campaign_training, campaign_coverage, campaign_correlation)
FILES = ("tightness", "tightness-over-training", "coverage", "correlation")
RUN = {"student": "s", "objective": "cw2", "weight": 0.1, "seed": 0, "task": "t", "environment": "{}"}
RUN |= {"law": "{}", "options": "{}", "teacher": "big", "head": "own", "stream": 0, "first": 0}


def bound(name, population, ratio, epoch=1, run=0, **more):
    row = {"kind": "bound", "name": name, "population": population, "ratio": ratio, "target": "gap", "guaranteed": True}
    row |= {"configuration": f"{population} {run}", "epoch": epoch, "holds": True, "lower": -1.0, "value": 0.5, "upper": 1.0}
    return RUN | row | more


def count(name, delta, n, wrong=3, guaranteed=True):
    row = {"kind": "coverage", "name": name, "n": n, "delta": delta, "guaranteed": guaranteed}
    row |= {"population": "mixture", "configuration": "c", "trials": 1000, "certain": wrong, "possible": wrong}
    return RUN | row


def points(kind, name, values, populations=("digits", "glyphs")):
    for population in populations:
        for run, value in enumerate(values):
            for epoch in (1, 2):
                row = {"kind": kind, "name": name, "population": population, "configuration": f"{population} {run}"}
                row |= {"seed": run}
                yield RUN | row | {"epoch": epoch, "value": float(value + epoch)}


def found_in(rows):
    return Findings(pyarrow.Table.from_pylist(list(rows), schema=COLUMNS), 1.0)


ROWS = [
    *(count(name, delta, n) for name in ("F1.gap", "F3.T0") for delta in (0.05, 0.2) for n in (200, 1000)),
    count("F4.brier", 0.2, 200, wrong=300),
    *(count(f"F1.gap, {name}", 0.2, 200, wrong, False) for name, wrong in (("half the radius", 0), ("no radius", 700))),
    count("gap", 0.2, 200, wrong=300, guaranteed=False),
    *(count(BROKEN, delta, 200, wrong=300, guaranteed=False) for delta in (0.05, 0.2)),
    *(
        bound(name, population, ratio if epoch else 10 * ratio, epoch, run)
        for name in ("T1.l2", "T5.curved")
        for population in ("digits", "glyphs")
        for run, ratio in enumerate((2.0, 3.0, 5.0))
        for epoch in (0, 1)
    ),
    *points("measured", "gap", range(8)),
    *points("distance", "W2", [1, 0, 3, 2, 5, 4, 7, 6]),
    *points("distance", "MMD", [7, 6, 5, 4, 3, 2, 1, 0]),
]


@pytest.fixture
def found():
    return found_in(ROWS)


@pytest.mark.long
@pytest.mark.parametrize("file_format", [pytest.param("png", marks=pytest.mark.long), "svg"])
def test_pictures_are_the_same_bytes_every_time(found, file_format):
    first = pictures(found, [file_format])
    assert set(first) == {f"{name}.{file_format}" for name in FILES}
    assert all(len(data) > 1500 for data in first.values())
    assert pictures(found, [file_format]) == first


def test_only_what_was_found_is_drawn():
    assert pictures(found_in([]), ["png"]) == {}
    assert set(pictures(found_in(row for row in ROWS if row["kind"] == "coverage"), ["png"])) == {"coverage.png"}


def test_captions_of_a_campaign_say_how_many_of_its_tasks_are_missing(found):
    parts = pictures(Findings(found.table, 1.0, missing=1234), ["txt"])
    assert set(parts) == {f"{name}.txt" for name in FILES}
    for text in map(bytes.decode, parts.values()):
        assert "1,234 tasks of the campaign are missing." in " ".join(text.split())
    assert not any("missing." in text.decode() for text in pictures(found, ["txt"]).values())


def test_tightness_has_the_quartiles_of_every_row(found):
    table = campaign_tightness.numbers(found)
    assert table["rows"][0] == {"name": "T1.l2", "population": "digits", "quarter": 5.0, "median": 20.0, "three_quarters": 30.0}
    axes = campaign_tightness.draw(table).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["T1.l2", "T5.curved"]
    medians = [line.get_xdata()[0] for line in axes.lines if line.get_marker() in ("o", "s")]
    assert medians == [20.0] * 4


def test_an_infinite_quartile_is_left_out():
    table = campaign_tightness.numbers(found_in(bound("T0", "digits", ratio) for ratio in (2.0, float("inf"))))
    assert table["rows"][0]["three_quarters"] is None
    campaign_tightness.draw(table)


def test_tightness_over_training_has_a_median_for_every_epoch(found):
    table = campaign_training.numbers(found)
    mine = [row for row in table["rows"] if (row["name"], row["population"]) == ("T1.l2", "glyphs")]
    assert [(row["epoch"], row["pairs"], row["median"]) for row in mine] == [(0, 3, 30.0), (1, 3, 3.0)]
    panels = campaign_training.draw(table).axes
    assert [axes.get_title() for axes in panels] == ["digits", "glyphs"]
    assert [list(line.get_xdata()) for line in panels[0].lines[1:]] == [[0, 1]] * 2


def test_bounds_on_different_gaps_are_drawn_apart():
    rows = [
        each
        for epoch in (1, 2)
        for each in (
            bound("T1.l2", "digits", 9.0 + epoch, epoch, target="gap_shared_head"),
            bound("T1.logits.l2", "digits", 2.0 + epoch, epoch),
        )
    ]
    table = campaign_training.numbers(found_in(rows))
    assert [(row["target"], row["name"], row["median"]) for row in table["rows"]] == [
        ("gap", "T1.logits.l2", 3.0),
        ("gap", "T1.logits.l2", 4.0),
        ("gap_shared_head", "T1.l2", 10.0),
        ("gap_shared_head", "T1.l2", 11.0),
    ]
    lines = [[line.get_ydata().tolist() for line in axes.lines[1:]] for axes in campaign_training.draw(table).axes]
    assert lines == [[[3.0, 4.0]], [[10.0, 11.0]]]
    assert "from epoch 1 to the last epoch" in campaign_training.caption(table)


def test_a_population_that_was_audited_once_has_no_course():
    rows = [bound("T1.l2", "digits", 9.0, epoch) for epoch in (0, 5)]
    once = bound("T1.l2", "glyphs", 2.0)
    table = campaign_training.numbers(found_in([*rows, once]))
    assert {row["population"] for row in table["rows"]} == {"digits"}
    assert "from the untrained student (epoch 0)" in campaign_training.caption(table)
    with pytest.raises(InputError, match="needs pairs that were audited at two epochs or more"):
        campaign_training.FIGURE.table(found_in([once]))


def test_settings_of_one_name_are_told_apart():
    laws = ({"law": '{"classes": 10}'}, {"law": '{"classes": 62}', "student": "resnet8x4", "teacher": "resnet32x4"})
    found = found_in(bound("T1.l2", "glyphs", 2.0, run=run, holds=False, **more) for run, more in enumerate(laws))
    assert {row["population"] for row in found.bounds} == {
        "glyphs (classes 10), big to s, own head",
        "glyphs (classes 62), resnet32x4 to resnet8x4, own head",
    }
    # A violation says what its run was, once.
    assert [each.run for each in found.judgement.violations] == [
        "glyphs (classes 10), big to s, cw2 λ = 0.1, seed 0",
        "glyphs (classes 62), resnet32x4 to resnet8x4, cw2 λ = 0.1, seed 0",
    ]


def test_an_infinite_median_is_a_gap_in_the_line():
    ratios = {0: float("inf"), 1: 2.0}
    table = campaign_training.numbers(found_in(bound("T0", "digits", ratio, epoch) for epoch, ratio in ratios.items()))
    assert [row["median"] for row in table["rows"]] == [None, 2.0]
    assert list(campaign_training.draw(table).axes[0].lines[1].get_xdata()) == [1]


def test_coverage_has_a_panel_for_each_delta_and_marks_what_is_invalid(found):
    panels = campaign_coverage.draw(campaign_coverage.numbers(found)).axes
    assert [axes.get_title() for axes in panels] == ["δ = 0.05", "δ = 0.2"]
    hollow = [line for line in panels[1].lines if line.get_marker() in ("o", "s") and line.get_markerfacecolor() == "none"]
    assert len(hollow) == 6  # of seven claims the one that would notice a missing radius is filled
    assert " ".join(panels[0].get_ylabel().split()) == "mixture, big to s, cw2 λ = 0.1, seed 0"
    orange = [line for line in panels[1].lines if line.get_color() == campaign_coverage.ORANGE]
    assert len(orange) == 6  # an interval and a point of each of three claims
    assert len([line for line in panels[0].lines if line.get_color() == campaign_coverage.ORANGE]) == 2  # the broken one


def test_pairs_that_were_studied_apart_are_drawn_apart():
    rows = [count("F1.gap", 0.2, 200, wrong=wrong) | {"configuration": str(wrong), "seed": wrong} for wrong in (3, 30)]
    panels = campaign_coverage.draw(campaign_coverage.numbers(found_in(rows))).axes
    said = [" ".join(axes.get_ylabel().split()) for axes in panels]
    assert said == [f"mixture, big to s, cw2 λ = 0.1, seed {wrong}" for wrong in (3, 30)]
    assert [[line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"] for axes in panels] == [[0.003], [0.03]]


def test_claims_are_in_the_order_of_the_ladder_and_what_is_broken_is_last(found):
    names = dict.fromkeys(row["name"] for row in campaign_coverage.numbers(found)["rows"])
    assert list(names) == ["F1.gap", "F3.T0", "F4.brier", "gap", BROKEN]


def test_correlations_have_a_panel_for_each_choice_of_epochs(found):
    panels = campaign_correlation.draw(campaign_correlation.numbers(found)).axes
    assert [axes.get_title() for axes in panels] == ["own heads,\nall trained", "own heads,\nlast epoch"]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["W2", "MMD"]


@pytest.mark.parametrize("module", MODULES)
def test_a_figure_is_drawn_from_the_table_that_a_store_wrote(module, found, tmp_path):
    pyarrow.parquet.write_table(found.table, tmp_path / "standard.parquet")
    assert module.FIGURE.numbers(tmp_path) == module.numbers(found)


@pytest.mark.parametrize("write", ["text", "columns"])
def test_what_is_no_table_of_a_campaign_is_refused(tmp_path, write):
    file = tmp_path / "standard.parquet"
    if write == "text":
        file.write_text("no table")
    else:
        pyarrow.parquet.write_table(pyarrow.table({"kind": ["bound"]}), file)
    with pytest.raises(InputError, match="not a table of a campaign"):
        campaign_tightness.FIGURE.numbers(tmp_path)


def test_readme_reports_what_the_table_says(found):
    text = page_part.written(found)
    assert "12 audited pairs, 24 comparisons" in text
    assert "**0 violated**" in text
    assert "\n- Objectives of these runs: `cw2`.\n" in text
    assert "of 9 guaranteed ones **1 are wrong more often than δ**" in text
    assert "Asymptotic ones: 1 of 1 are wrong too often" in text
    assert "width was caught 2 times of 2" in text
    assert "Pairs of the claims about the population: mixture, big to s, cw2 λ = 0.1, seed 0." in " ".join(text.split())
    # One of the nine counts has controls.
    assert "Of these 9 counts, 0 would have noticed that half of a radius is missing, 1 more" in " ".join(text.split())
    # The last epoch alone: 2, 3 and 5, and no number between two of them.
    assert "| `T1.l2`, the same with its constants | 3 (3–5) | 3 (3–5) |" in text
    assert "| digits | W2 " in text
    w2 = np.corrcoef(range(8), [1, 0, 3, 2, 5, 4, 7, 6])[0, 1]
    assert f"W2 +{w2:.2f} [" in text
    assert "| MMD −1.00 [−1.00, −1.00] |" in text


def test_readme_says_where_counts_have_no_controls_and_where_seeds_are_too_few():
    rows = [row for row in ROWS if ", " not in row["name"] and row.get("seed", 0) < 2]
    text = " ".join(page_part.written(found_in(rows)).split())
    assert "The claims were not tried without their radius" in text
    assert "it needs at least three audited seeds of digits (has 2), glyphs (has 2)." in text


def test_a_number_in_readme_that_is_not_the_tables_is_found(found, tmp_path, capsys):
    pyarrow.parquet.write_table(found.table, tmp_path / "standard.parquet")
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n\n{page_part.BEGIN}\n{page_part.END}\n\nAfter it.\n")
    command = [str(readme), "--from", str(tmp_path)]
    assert stored_parts.main(command) == 1
    assert stored_parts.main([*command, "--write"]) == 0
    assert stored_parts.main(command) == 0
    written = readme.read_text()
    assert written.startswith("# Title\n\n")
    assert written.endswith("\n\nAfter it.\n")
    capsys.readouterr()
    readme.write_text(written.replace("12 audited pairs", "13 audited pairs"))
    assert stored_parts.main(command) == 1
    said = capsys.readouterr().err
    assert "13 audited pairs" in said
    assert "12 audited pairs" in said
    readme.write_text("# Title\n")
    assert stored_parts.main(command) == 2
    assert "has no part" in capsys.readouterr().err


def test_the_page_says_what_the_shipped_table_says(capsys):
    assert stored_parts.main([str(Path(__file__).parents[2] / "docs/campaign.md")]) == 0, capsys.readouterr().err
