"""`kd2m label`: a plan, a table to fill in, an estimate that is recorded, and a line for everything that is wrong."""

from pathlib import Path

import numpy as np
import pytest

from kd2m_theory import LabelPlan, Pair, partly_labelled


@pytest.fixture
def labels(command):
    """A pair on disk, and the labels that nobody has told it."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 80)
    teacher = 3 * np.eye(3)[labels] + rng.normal(size=(80, 3))
    Pair(logits_teacher=teacher, logits_student=teacher + rng.normal(size=(80, 3))).save("pair.safetensors")
    return labels


def fill_in(labels, count):
    head, *lines = Path("labels.csv").read_text(encoding="utf-8").split()
    filled = [f"{line.split(',')[0]},{labels[int(line.split(',')[0])]}" for line in lines]
    Path("labels.csv").write_text("\n".join([head, *filled[:count], *lines[count:]]), encoding="utf-8")


@pytest.mark.parametrize("target", ["error", "gap"])
def test_a_plan_is_drawn_filled_in_and_estimated_step_by_step(command, labels, target):
    options = ("--target", target, "--budget", 20, "--out", "plan.json", "--csv", "labels.csv")
    status, out, err = command("label", "plan", "pair.safetensors", *options)
    assert (status, err) == (0, "")
    assert "plan: plan.json" in out
    plan = LabelPlan.load("plan.json")
    for count in (0, 5, len(plan.order)):
        fill_in(labels, count)
        status, out, err = command("label", "estimate", "plan.json", "labels.csv")
        assert (status, err) == (0, "")
        assert " ".join(out.split()) == " ".join(str(plan.estimate(labels[plan.order[:count]])).split())
    kept = LabelPlan.load("plan.json")
    assert [stop["labels"] for stop in kept.stops] == [0, 5, len(plan.order)]
    assert kept.labels.tolist() == labels[plan.order].tolist()
    assert kept.order.tolist() == plan.order.tolist()


def test_what_is_wrong_is_one_line_and_status_two(command, labels):
    assert command("label", "plan", "pair.safetensors", "--out", "plan.json", "--csv", "labels.csv")[0] == 0
    fill_in(labels, 4)
    assert command("label", "estimate", "plan.json", "labels.csv")[0] == 0
    fill_in((labels + 1) % 3, 4)
    Path("edited.json").write_text(Path("plan.json").read_text(encoding="utf-8").replace('"delta": 0.05', '"delta": 0.5'))
    Path("none.json").write_text("{}")
    for words, arguments in (
        ("drawing again", ("plan", "pair.safetensors", "--out", "plan.json")),
        ("are both", ("plan", "pair.safetensors", "--out", "a.json", "--csv", "a.json")),
        ("budget is 0", ("plan", "pair.safetensors", "--out", "a.json", "--budget", 0)),
        ("target is 'x'", ("plan", "pair.safetensors", "--out", "a.json", "--target", "x")),
        ("does not exist", ("plan", "pair.safetensors", "--out", "no/a.json")),
        ("there is no file", ("plan", "no.safetensors", "--out", "a.json")),
        ("is recorded", ("estimate", "plan.json", "labels.csv")),
        ("was changed after it was made", ("estimate", "edited.json", "labels.csv")),
        ("not a label plan", ("estimate", "none.json", "labels.csv")),
        ("not a label plan", ("estimate", "labels.csv", "labels.csv/..")),
        ("there is no file", ("estimate", "plan.json", "no.csv")),
        ("not a table of labels", ("estimate", "plan.json", "pair.safetensors")),
    ):
        status, out, err = command("label", *arguments)
        assert (status, out) == (2, ""), arguments
        assert err.count("\n") == 1
        assert words in err, err
    assert not Path("a.json").exists()


def test_labels_of_some_inputs_say_what_they_say_in_python_and_take_a_word(command, labels):
    rows = np.random.default_rng(1).permutation(80)[:40]
    Path("some.csv").write_text("\n".join(["index,label", *(f"{row},{labels[row]}" for row in rows), "79,"]), encoding="utf-8")
    known = {int(row): int(labels[row]) for row in rows}
    for target in ("error", "gap"):
        arguments = ("label", "partly-labelled", "pair.safetensors", "some.csv", "--target", target)
        status, out, err = command(*arguments, "--chosen-at-random")
        assert (status, err) == (0, "")
        expected = partly_labelled(Pair.load("pair.safetensors"), known, target, chosen="at random")
        assert " ".join(out.split()) == " ".join(str(expected).split())
        status, out, err = command(*arguments)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "--chosen-at-random" in err
