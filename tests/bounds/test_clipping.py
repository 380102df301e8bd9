"""What clipping hides is counted, and a bound taken from the sample is refused."""

import math

import numpy as np
import pytest

from kd2m_theory import InputError, Pair, audit


def sample(seed=0, n=60, classes=3):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    return 2 * rng.normal(size=(n, classes)), 2 * rng.normal(size=(n, classes)), labels


def losses_of(logits, labels):
    """Cross-entropy, written out."""
    return np.array([math.log(sum(math.exp(a) for a in row)) - row[y] for row, y in zip(logits, labels, strict=True)])


def test_clipped_losses_are_counted_and_averaged():
    teacher, student, labels = sample()
    bound = 1.7
    report = audit(Pair(logits_teacher=teacher, logits_student=student, labels=labels), only=(), loss_bound=bound)
    found = report.clipping
    for logits, share, risk in (
        (student, found.share_student, found.risk_student),
        (teacher, found.share_teacher, found.risk_teacher),
    ):
        losses = losses_of(logits, labels)
        assert 0 < share < 1
        assert share == sum(loss > bound for loss in losses) / len(losses)
        assert risk == pytest.approx(sum(min(loss, bound) for loss in losses) / len(losses), rel=1e-12)
    worst = [max(losses_of(logits[[k]] * 1.0, [y])[0] for logits in (student, teacher) for y in range(3)) for k in range(60)]
    assert found.share_any_class == np.mean(np.array(worst) > bound)
    unlabelled = audit(Pair(logits_teacher=teacher, logits_student=student), only=(), loss_bound=bound).clipping
    assert unlabelled.share_any_class == found.share_any_class
    assert unlabelled.share_student is unlabelled.risk_teacher is None
    apart = audit(Pair(logits_teacher=teacher, logits_student=student, inputs_paired=False), only=()).clipping
    assert apart.share_any_class is None
    assert apart.bound == pytest.approx(2 * math.log(3))


LARGEST = {
    "student": lambda student, teacher: student.max(),
    "teacher": lambda student, teacher: teacher.max(),
    "both": lambda student, teacher: max(student.max(), teacher.max()),
    "difference": lambda student, teacher: np.abs(student - teacher).max(),
    "single precision": lambda student, teacher: float(np.float32(student.max())),
    "computed in single precision": lambda student, teacher: float((student.astype(np.float32) * np.float32(1)).max()),
    "rounded": lambda student, teacher: student.max() * (1 + 1e-12),
}


@pytest.mark.parametrize("which", LARGEST)
def test_the_largest_loss_of_the_sample_is_refused_as_a_bound(which):
    for seed in range(5):
        teacher, student, labels = sample(seed)
        bound = float(LARGEST[which](losses_of(student, labels), losses_of(teacher, labels)))
        with pytest.raises(
            InputError, match=r"a bound taken from the sample voids the guarantee. Leave it out for 2 ln K = 2.197"
        ):
            audit(Pair(logits_teacher=teacher, logits_student=student, labels=labels), only=(), loss_bound=bound)
        other = audit(Pair(logits_teacher=teacher, logits_student=student, labels=labels), only=(), loss_bound=1.01 * bound)
        assert other.clipping.bound == 1.01 * bound


def test_so_is_the_largest_loss_through_the_teachers_head_and_that_at_any_class():
    rng = np.random.default_rng(1)
    teacher, student, head = rng.normal(size=(40, 3)), rng.normal(size=(40, 3)), 2 * rng.normal(size=(3, 3))
    labels = rng.integers(0, 3, 40)
    own = rng.normal(size=(40, 3))
    shared = float(losses_of(student @ head.T, labels).max())
    with pytest.raises(InputError, match="the largest loss of the student on these samples"):
        audit(Pair(teacher, student, labels, head_weight=head, logits_student=own), only=(), loss_bound=shared)
    anywhere = max(float(losses_of(own, [y] * 40).max()) for y in range(3))
    with pytest.raises(InputError, match="the largest loss of the student at any class"):
        audit(Pair(teacher, student, head_weight=head, logits_student=own), only=(), loss_bound=anywhere)


def test_a_multiple_of_ln_k_depends_on_the_number_of_classes_alone():
    logits = np.zeros((10, 3))
    pair = Pair(logits_teacher=logits, logits_student=logits, labels=np.arange(10) % 3)
    assert audit(pair, only=(), loss_bound=math.log(3)).clipping.share_student == 0
