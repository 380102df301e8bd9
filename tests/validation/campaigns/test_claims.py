"""What an audit claims, when a claim is wrong, which distances are measured, and words that ask for no campaign."""

import numpy as np
import pytest

from kd2m_theory import Pair
from kd2m_theory.validation.campaigns.claims import Claim, judged
from kd2m_theory.validation.campaigns.measured_distances import distances


@pytest.mark.parametrize(
    ("lower", "upper", "certain", "possible"),
    [
        (0.0, 1.0, False, False),
        (0.4, 0.6, False, False),
        (0.45, 0.6, False, True),
        (0.4, 0.55, False, True),
        (0.61, 1.0, True, True),
        (0.0, 0.39, True, True),
    ],
)
def test_a_claim_is_certainly_wrong_beside_the_truth_and_possibly_inside_it(lower, upper, certain, possible):
    assert judged(
        Claim(name="F1.gap", target="population_gap", lower=lower, upper=upper, guaranteed=True), {"population_gap": (0.4, 0.6)}
    ) == (certain, possible)


def test_a_pair_without_labels_or_features_has_the_distances_that_it_can_have():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 30, 3))
    assert set(distances(Pair(logits_teacher=logits[0], logits_student=logits[1]))) == {"KL of predictions", "disagreement"}
    unlabelled = distances(Pair(rng.normal(size=(30, 3)), rng.normal(size=(30, 3)), head_weight=np.eye(3)))
    assert "W2" in unlabelled
    assert "CW2" not in unlabelled


def test_equal_networks_are_at_distance_zero():
    z = np.random.default_rng(0).normal(size=(40, 3))
    same = distances(Pair(z, z, labels=np.arange(40) % 3, head_weight=np.eye(3)))
    assert [float(distance) for distance in same.values()] == pytest.approx([0.0] * len(same), abs=1e-6)


def test_inputs_at_fault_are_one_line_and_status_2(tmp_path, capsys, monkeypatch):
    from kd2m_theory.commands import main as cli

    for words, expected in (
        (["quikc"], "did you mean 'quick'?"),
        (["quick", "--workers", "0"], "workers is 0"),
        (["quick", "--workers", "2", "--scheduler", "tcp://127.0.0.1:9"], "leave one out"),
        (
            ["quick", "--scheduler", "tcp://127.0.0.1:9", "--timeout", "0.3"],
            "scheduler tcp://127.0.0.1:9 does not answer within 0.3 s",
        ),
        (["report", str(tmp_path)], "holds no campaign"),
        (["merge", str(tmp_path / "union"), str(tmp_path)], "holds no campaign"),
    ):
        monkeypatch.setattr("sys.argv", ["kd2m", "validate", *words])
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr().err
        assert ended.value.code == 2
        assert expected in said
        assert said.count("\n") == 1
    assert not (tmp_path / "campaigns").exists()
