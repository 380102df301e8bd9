"""What an audit is told: refusals, an affine map for another dimension, a nonlinear head, assumptions vouched for."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from kd2m_theory import AuditReport, InputError, Pair, audit
from kd2m_theory.bounds import Settings, aligned, fit_affine
from kd2m_theory.bounds.constants.layers import network_lipschitz


def networks(n, seed, matrix):
    """A teacher in 4 dimensions, and a student in 6 whose features are an affine image of it, with noise."""
    rng = np.random.default_rng(seed)
    teacher = rng.normal(size=(n, 4))
    student = teacher @ matrix.T + 1.5 + 0.05 * rng.normal(size=(n, 6))
    weight = np.random.default_rng(99).normal(size=(3, 4))
    return Pair(
        teacher,
        student,
        rng.integers(0, 3, n),
        head_weight=weight,
        head_bias=np.array([0.1, -0.2, 0.0]),
        logits_student=rng.normal(size=(n, 3)),
    )


MATRIX = np.random.default_rng(7).normal(size=(6, 4))


def test_an_affine_map_gives_a_student_of_another_dimension_the_teachers_head():
    fitted_on, pair = networks(400, 0, MATRIX), networks(100, 1, MATRIX)
    assert not audit(pair, only=["T2.head_aware"])["T2.head_aware"].applicable
    report = audit(pair, align=fitted_on)
    assert report.violations == ()
    row = report["T2.head_aware"]
    assert row.holds
    mapped = fit_affine(fitted_on)(pair.features_student)
    logits = mapped @ pair.head_weight.T + pair.head_bias
    teacher = pair.features_teacher @ pair.head_weight.T + pair.head_bias
    at = np.arange(100)
    losses = [np.log(np.exp(a).sum(1)) - a[at, pair.labels] for a in (logits, teacher)]
    assert row.measured == pytest.approx(losses[0].mean() - losses[1].mean(), rel=1e-9)
    assert report["T1.l2"].details["L2 distance"] < 0.2
    assert "R² 0.99" in report.provenance["aligned"]
    # Rows on logits do not see the map.
    assert report["T5.logits"].upper == audit(pair, only=["T5.logits"])["T5.logits"].upper


def test_the_map_is_the_least_squares_map():
    fitted_on = networks(50, 3, MATRIX)
    found = fit_affine(fitted_on)
    design = np.column_stack((fitted_on.features_student, np.ones(50)))
    expected = np.linalg.lstsq(design, fitted_on.features_teacher, rcond=None)[0]
    np.testing.assert_allclose(found.matrix, expected[:6].T, atol=1e-8)
    np.testing.assert_allclose(found.offset, expected[6], atol=1e-8)
    residual = fitted_on.features_teacher - found(fitted_on.features_student)
    share = (residual**2).sum() / ((fitted_on.features_teacher - fitted_on.features_teacher.mean(0)) ** 2).sum()
    assert found.explained == pytest.approx(1 - share)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_samples_are_told_by_their_values_whatever_their_format_and_order(dtype, paired):
    pair = networks(100, 1, MATRIX)
    given = {"inputs_paired": paired} | ({} if paired else {"labels_student": pair.labels})
    audited = Pair(pair.features_teacher, pair.features_student, pair.labels, head_weight=pair.head_weight, **given)
    order = np.random.default_rng(0).permutation(100)[:60]
    coarse = [features[order].astype(dtype).astype(np.float64) for features in (pair.features_teacher, pair.features_student)]
    with pytest.raises(InputError, match="60 of the 100 audited samples are also in the pair to align with"):
        aligned(audited, Pair(*coarse))
    other = networks(60, 2, MATRIX)
    assert aligned(audited, other).shared_head is not None


def test_a_map_is_never_fitted_on_what_is_audited():
    pair, other = networks(100, 1, MATRIX), networks(60, 2, MATRIX)
    with pytest.raises(InputError, match="100 of the 100 audited samples are also in the pair to align with"):
        audit(pair, align=pair)
    part = Pair(pair.features_teacher[:5], pair.features_student[:5])
    with pytest.raises(InputError, match="5 of the 100 audited samples"):
        aligned(pair, part)
    with pytest.raises(InputError, match="dimension 6 in the pair and 4 in the one"):
        aligned(pair, Pair(other.features_teacher, other.features_teacher))
    with pytest.raises(InputError, match="logits only"):
        aligned(pair, Pair(logits_teacher=2 * np.eye(3), logits_student=2 * np.eye(3)))
    with pytest.raises(InputError, match="logits only"):
        aligned(Pair(logits_teacher=2 * np.eye(3), logits_student=2 * np.eye(3)), other)
    unpaired = Pair(other.features_teacher, other.features_student, inputs_paired=False)
    with pytest.raises(InputError, match="the same inputs"):
        aligned(pair, unpaired)


def test_a_shared_nonlinear_head_by_its_constant():
    torch.manual_seed(0)
    head = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    rng = np.random.default_rng(4)
    teacher = rng.normal(size=(60, 5))
    student = teacher + 0.1 * rng.normal(size=(60, 5))
    with torch.no_grad():
        logits = [head(torch.tensor(z, dtype=torch.float32)).double().numpy() for z in (teacher, student)]
    pair = Pair(teacher, student, rng.integers(0, 3, 60), logits_teacher=logits[0], logits_student=logits[1])
    constant = network_lipschitz(head, (5,)).upper
    assert "head_lipschitz" in audit(pair, only=["T2.lipschitz"])["T2.lipschitz"].why
    report = audit(pair, head_lipschitz=constant)
    assert report.violations == ()
    lengths = np.linalg.norm(teacher - student, axis=1)
    assert report["T1.l1"].upper == pytest.approx(math.sqrt(2) * constant * lengths.mean(), rel=1e-9)
    for name in ("T1.l2", "T2.w2", "T3.lipschitz", "T4", "T10.risk", "T5"):
        assert report[name].holds
        assert report[name].assumed == "vouched"
    for name in ("T2.spectral", "T1.class_lipschitz", "T6"):
        assert "the head is not linear" in report[name].why
    with pytest.raises(InputError, match="this pair has head_weight"):
        audit(networks(20, 0, MATRIX), head_lipschitz=1.0)


def test_a_constant_that_the_pair_refutes_is_refused():
    rng = np.random.default_rng(5)
    teacher, direction = rng.normal(size=(40, 4)), np.array([1.0, 2.0, 2.0, 0.0]) / 3
    student = teacher + rng.normal(size=(40, 1)) * direction
    # |sin(3 u·z)| moves by at most 3 ‖Δz‖, and the logits are that times (1, −1): 3 √2 is the constant.
    logits = [np.sin(3 * (z @ direction))[:, None] * [1.0, -1.0] for z in (teacher, student)]
    pair = Pair(teacher, student, logits_teacher=logits[0], logits_student=logits[1])
    assert audit(pair, only=["T1.directed"], head_lipschitz=3 * math.sqrt(2)).violations == ()
    with pytest.raises(
        InputError, match=r"head_lipschitz is 1, but .* of row \d+ move by .*: no head of that constant made both"
    ):
        audit(pair, head_lipschitz=1.0)
    # Heads of their own: the same features, and other logits.
    other = Pair(teacher, teacher, logits_teacher=logits[0], logits_student=logits[0][:, ::-1])
    with pytest.raises(InputError, match="its features by 0: no head of that constant"):
        audit(other, head_lipschitz=100.0)
    # Rounding of half precision does not refute.
    rounded = Pair(teacher, teacher, logits_teacher=logits[0], logits_student=torch.tensor(logits[0]).bfloat16().double())
    audit(rounded, only=["T0"], head_lipschitz=1.0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"head_lipschitz": -1.0}, "head_lipschitz is -1.0; give a positive number"),
        ({"temperature": 0.5}, "temperature is 0.5; give a number ≥ 1"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"vouched": frozenset({"luck"})}, "'luck' is not an assumption that one can vouch for; there are 'gaussian classes'"),
        ({"vouched": "luck"}, "'luck' is not an assumption"),
    ],
)
def test_settings_out_of_range_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        Settings(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"loss_bound": np.float32(3)},
        pytest.param({"loss_bound": 2 * np.log(3)}, marks=pytest.mark.long),
        {"temperature": np.int64(4)},
        {"whole_cloud": np.True_},
        pytest.param({"whole_cloud": 1}, marks=pytest.mark.long),
    ],
    ids=str,
)
def test_settings_of_numpy_are_stored_as_plain_numbers(settings, tmp_path):
    report = audit(networks(30, 1, MATRIX), **settings)
    report.to_html(tmp_path / "r.html")
    report.to_json(tmp_path / "r.json")
    assert AuditReport.from_json(tmp_path / "r.json").settings == report.settings


def test_what_was_not_looked_at_is_not_met():
    logits = Pair(logits_teacher=2 * np.eye(3), logits_student=2 * np.eye(3))
    states = {each.name: each.state for each in audit(logits, only=["T6"])["T6"].assumptions}
    assert states["linear head"] == states["same class shares"] == "unmet"
    nonlinear = Pair(np.eye(3), 2 * np.eye(3), logits_teacher=2 * np.eye(3), logits_student=2 * np.eye(3), labels=[0, 1, 2])
    row = audit(nonlinear, only=["T1.literal"], head_lipschitz=0.5)["T1.literal"]
    assert {each.name: each.state for each in row.assumptions}["loss 1-Lipschitz in the features"] == "vouched"
    assert [row.name for row in audit(nonlinear, only=(name for name in ["T0"])).rows] == ["T0"]
