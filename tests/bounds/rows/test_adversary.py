"""An optimiser looks for a pair that breaks a row. It must fail on the row, and succeed on the row made a little too small."""

import numpy as np
import pytest
from sampled import sampled
from scipy.optimize import minimize

from kd2m_theory import Pair
from kd2m_theory.bounds import ROWS, Ladder, Settings, cross_entropy
from kd2m_theory.bounds.targets import SUBJECTS

SAMPLES, DIMENSION, CLASSES = 3, 2, 3
SIZES = (SAMPLES * DIMENSION, SAMPLES * DIMENSION, CLASSES * DIMENSION, CLASSES)
# Rows that a sample can break: about the sample, guaranteed, and without a setting of the user's. What a row has to be told of the
# teacher is what the labels say.
GUARANTEED = [row for row in ROWS if SUBJECTS[row.target].about == "sample" and row.name not in ("T1.literal", "T9.ttm")]
BY_NAME = {row.name: row for row in GUARANTEED}
# Rows that some tiny instance attains: the adversary must come this close, or it is too weak to mean anything.
ATTAINED = {
    "T0": 0.99,
    "T0.error": 0.99,
    "T0.teacher_risk": 0.99,
    "T0.teacher_error": 0.99,
    "T1.head_aware": 0.95,
    "T2.head_aware": 0.95,
    "T1.l1": 0.9,
    "T2.lipschitz": 0.9,
    "T5": 0.9,
}


def build(vector, labels):
    student, teacher, weight, bias = np.split(vector, np.cumsum(SIZES)[:-1])
    return Pair(
        teacher.reshape(SAMPLES, DIMENSION),
        student.reshape(SAMPLES, DIMENSION),
        labels,
        head_weight=weight.reshape(CLASSES, DIMENSION),
        head_bias=bias,
    )


def told(row, pair):
    logits = pair.apply_head(pair.features_teacher)
    values = {
        "teacher_risk": cross_entropy(logits, pair.labels).mean(),
        "teacher_error": ((logits.argmax(axis=1) != pair.labels).mean(),) * 2,
    }
    return Settings(**{key: value for key, value in values.items() if key == row.told})


def worst_share(name, seed):
    """Largest gap / bound found: random starts, the best refined by a simplex search."""
    rng = np.random.default_rng(seed)
    labels = np.array([0, 1, 1])

    def share(vector):
        pair = build(vector, labels)
        (row,) = Ladder(pair, 0.05, [name], told(BY_NAME[name], pair)).evaluate()
        assert not row.violated, (name, vector.tolist())
        return 0.0 if not row.measured else 1.0 / row.ratio

    # The falsifier goes further, on the catalogue's formulas; here the shipped rows themselves are attacked.
    effort = 20 if name in ATTAINED else 6
    starts = [rng.normal(size=sum(SIZES)) * 10.0 ** rng.uniform(-0.5, 1) for _ in range(effort)]
    best = max(starts, key=share)
    found = minimize(lambda vector: -share(vector), best, method="Nelder-Mead", options={"maxfev": 12 * effort})
    return max(share(best), -float(found.fun))


# The same construction as of the row beside it, with another constant or measure of the points.
TWINS = (
    "T1.head_aware",
    "T1.l1",
    "T1.l2",
    "T2.lipschitz",
    "T2.spectral",
    "T2.w2",
    "T2.cw2",
    "T5.curved",
    "T5.envelope",
    "T8.directed",
    "T8.ramp",
    "T0.teacher_error",
    "T1.class_lipschitz",
    "T2.class_lipschitz",
    "T3.lipschitz",
    "T5.sharp",
    "T9.largest",
    "T9.pinsker",
    "T9.bretagnolle_huber",
    "T10.gelbrich",
    "T10.moments",
)


# A row on logits computes what its twin on features does, with the identity for a head.
@pytest.mark.parametrize(
    "name",
    sampled((row.name for row in GUARANTEED), later=[*(row.name for row in GUARANTEED if ".logits" in row.name), *TWINS]),
)
def test_no_pair_breaks_the_row(name):
    share = worst_share(name, seed=len(name))
    assert share <= 1 + 1e-9
    assert share >= ATTAINED.get(name, 0.05), f"the adversary reached only {share:.3f} of the bound"
