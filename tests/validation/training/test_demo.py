"""The demonstration end to end: real images, real training, and the promises of the README."""

import numpy as np
import pytest
import torch

from kd2m_theory import Pair, audit
from kd2m_theory.validation.populations.digits import load_halves
from kd2m_theory.validation.training import demo


@pytest.fixture(scope="module")
def result():
    return demo.run(seed=0, device="cpu", watch=demo.unwatched)


def test_halves_are_disjoint_complete_and_balanced():
    seen, held_out = load_halves(0)
    assert len(seen) + len(held_out) == 1797
    assert (seen.labels.bincount() - held_out.labels.bincount()).abs().max() <= 1
    images = torch.cat((seen.images, held_out.images)).flatten(1)
    from sklearn.datasets import load_digits

    original = torch.tensor(load_digits().data, dtype=torch.float32) / 16
    assert torch.equal(images.sum(0), original.sum(0))
    assert not torch.equal(load_halves(1)[0].images, seen.images)
    assert torch.equal(load_halves(0)[0].images, seen.images)


def test_the_networks_learned(result):
    for report in result.reports.values():
        assert report.measured["accuracy_teacher"].value > 0.97
        assert report.measured["accuracy_student"].value > 0.9
    large, small = demo.sizes()
    assert small * 10 < large


def test_no_row_is_violated_and_the_enclosures_are_tight(result):
    for report in result.reports.values():
        assert report.violations == ()
        for row in report.rows:
            measurable = not row.target.startswith("population") and row.name != "T9.ttm"
            assert (row.holds is True) == measurable
            if "risk" not in row.name:  # T10.risk rests on moments, not on transport
                for distance in row.distances.values():
                    assert distance.relative_gap <= 1e-9


def test_convexity_beats_the_paper_type_bound_fivefold(result):
    report = result.reports["cw2"]
    assert report["T5"].upper <= report["T2.spectral"].upper / 5


def test_distillation_brings_features_together_under_the_shared_head(result):
    alone, cw2 = result.reports["alone"], result.reports["cw2"]
    assert cw2["T2.cw2"].upper < alone["T2.cw2"].upper
    assert abs(cw2.measured["head_mismatch"].value) < 1e-6 < abs(alone.measured["head_mismatch"].value)


def test_files_are_written_and_audit_to_the_same_numbers(result, tmp_path):
    paths = result.write(tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in paths) == [
        "alone/ladder.png", "alone/pair.safetensors", "alone/report.json", "ladder.png", "pair.safetensors", "report.json",
    ]  # fmt: skip
    again = audit(Pair.load(tmp_path / "pair.safetensors"))
    for row in again.rows:
        assert not row.applicable or row.upper == result.reports["cw2"][row.name].upper
    assert np.isfinite(again["T5"].upper)


def test_the_same_seed_trains_the_same_students(monkeypatch):
    monkeypatch.setattr(demo, "STUDENT", demo.Settings(epochs=2, batch=64, learning_rate=5e-3))
    monkeypatch.setattr(demo, "TEACHER", demo.Settings(epochs=1, batch=64, learning_rate=2e-3))
    state = torch.random.get_rng_state()
    first = demo.run(seed=3, device="cpu", watch=demo.unwatched).pairs
    second = demo.trained_pairs(seed=3, device="cpu", watch=demo.unwatched)
    np.testing.assert_array_equal(first["cw2"].features_student, second["cw2"].features_student)
    assert torch.equal(torch.random.get_rng_state(), state)
