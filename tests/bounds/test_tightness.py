"""Tightness on real networks: on the stored pairs of the demonstration, no main row becomes looser."""

import json
from pathlib import Path

import pytest
from sampled import sampled

from kd2m_theory import audit

STORED = json.loads((Path(__file__).parents[1] / "data" / "demo-tightness.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=STORED)
def audited(request, demo_pairs):
    return STORED[request.param], audit(demo_pairs[request.param], only=list(STORED[request.param]))


def test_no_main_row_is_looser_than_it_was(audited):
    stored, report = audited
    ratios = {name: report[name].ratio for name in stored}
    assert all(row.guaranteed and row.holds for row in report.rows)
    assert {name: ratio for name, ratio in ratios.items() if not 1 <= ratio <= stored[name] * (1 + 1e-9)} == {}


def test_convexity_beats_the_paper_type_bound_fivefold_on_the_distilled_student(demo_pairs):
    report = audit(demo_pairs["cw2"], only=["T2.spectral", "T5"])
    assert report["T5"].upper <= report["T2.spectral"].upper / 5


def test_distillation_brought_features_together_under_the_shared_head(demo_pairs):
    alone, cw2 = (audit(demo_pairs[name], only=["T2.cw2"]) for name in ("alone", "cw2"))
    assert cw2["T2.cw2"].upper < alone["T2.cw2"].upper
    assert abs(cw2.measured["head_mismatch"].value) < 1e-6 < abs(alone.measured["head_mismatch"].value)


FORMS = ("", ".curved", ".envelope", ".sharp")
# Ends as shares of the gap: shared head, and own heads. A row that determines less than this is looser than it was.
SHARP = {"cw2": ((0.984, 1.034), (0.984, 1.034)), "alone": ((0.856, 1.195), (0.949, 1.018))}


@pytest.mark.parametrize("name", sampled(SHARP, always=["alone"]))
def test_two_ends_determine_nearly_all_of_the_gap(name, demo_pairs):
    report = audit(demo_pairs[name], only=[f"T5{infix}{form}" for infix in ("", ".logits") for form in FORMS])
    for infix, (least, most) in zip(("", ".logits"), SHARP[name], strict=True):
        rows = {form: report[f"T5{infix}{form}"] for form in FORMS}
        sharp = rows[".sharp"]
        assert sharp.guaranteed
        assert sharp.holds
        assert least <= sharp.lower / sharp.measured <= 1 <= sharp.upper / sharp.measured <= most
        for tighter, looser in ((".envelope", ""), (".sharp", ".curved"), (".sharp", ".envelope")):
            assert rows[tighter].upper <= rows[looser].upper
            assert rows[tighter].lower >= rows[looser].lower
