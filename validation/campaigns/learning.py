"""What a run leaves for the papers' figures: results, curves over the epochs, and what the last pair shows of predictions.

A curve, a histogram, a matrix or a cloud is one row, so that the table stays small and is all that a figure needs. The matrix
and the cloud of a student are kept of seed 0 alone: one student of several is drawn, and which seeds a campaign has does not
change what a run leaves.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import log_softmax, xlogy

from kd2m_theory.arrays import Float64, Int64
from kd2m_theory.pair import Pair

if TYPE_CHECKING:
    from kd2m_theory.validation.training.distillation import Trained

BINS = 24  # of a histogram, from 0 to ln K
EMBEDDED = 300  # images at most, as many of each class as of any other
SHOWN_SEED = 0

Row = dict[str, Any]


def perplexity(images: int) -> float:
    """Perplexity of an embedding of both networks' features of so many images: 30, and less for fewer than 46 images."""
    return min(30.0, (2 * images - 1) / 3)


def results(trained: "Trained") -> Iterator[Row]:
    """Means of both networks over the validation and the test images, after the last epoch."""
    for (whose, split), found in trained.results.items():
        for name, value in asdict(found).items():
            if not math.isnan(value):
                yield {"kind": "result", "name": name, "target": f"{whose} {split}", "value": value}


def curves(history: Sequence[Mapping[str, float]]) -> Iterator[Row]:
    """Each part of the training loss, without its weight, and what the student does on the test images, by epoch."""
    for column in dict.fromkeys(name for row in history for name in row):
        target, _, name = column.partition("_")
        values = [row.get(column) for row in history]
        if target not in ("train", "test") or name in ("total", "agreement") or not all(map(_known, values)):
            continue
        yield {"kind": "curve", "name": name, "target": target, "first": 1, "value": values[-1], "values": values}


def last_pair(pair: Pair, seed: int) -> Iterator[Row]:
    """What the test images show after the last epoch; features of the two networks are of one size."""
    assert pair.logits_student is not None
    assert pair.logits_teacher is not None
    yield entropies(pair.logits_student)
    difference = correlations(pair.logits_student) - correlations(pair.logits_teacher)
    size = float(np.abs(difference[~np.eye(len(difference), dtype=bool)]).mean())
    if math.isfinite(size):  # a logit that is the same for every image has no correlation
        matrix = {"values": difference.ravel().tolist()} if seed == SHOWN_SEED else {}
        yield {"kind": "correlation", "name": "logits", "value": size, **matrix}
    if seed == SHOWN_SEED:
        yield from embedding(pair)


def entropies(logits: Float64) -> Row:
    """How many images have an entropy in each of `BINS` equal parts of [0, ln K]; logits are n × K."""
    log_q = log_softmax(np.asarray(logits, dtype=np.float64), axis=1)
    found = -xlogy(np.exp(log_q), np.exp(log_q)).sum(axis=1)
    most = math.log(log_q.shape[1])
    counts, _ = np.histogram(np.minimum(found, most), BINS, (0.0, most))  # rounding may exceed ln K
    row = {"kind": "histogram", "name": "entropy", "target": "student test", "lower": 0.0, "upper": most}
    return row | {"values": counts.astype(float).tolist()}


def correlations(logits: Float64) -> Float64:
    """K × K correlations between classes of n × K logits, each row centred: predictions do not see a shift of all logits.

    NaN where a class has the same logit for every image.
    """
    centred = np.asarray(logits, dtype=np.float64)
    centred = centred - centred.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Float64 = np.corrcoef(centred.T)
    return found


def embedding(pair: Pair) -> Iterator[Row]:
    """Features of teacher and student placed in one plane by t-SNE, and the classes of the images; nothing of fewer than 5."""
    from sklearn.manifold import TSNE  # optional, and a figure reads of this module how large an embedding is

    labels = np.asarray(pair.labels)
    kept = balanced(labels)
    if len(kept) < 5:
        return
    assert pair.features_teacher is not None
    assert pair.features_student is not None
    features = np.vstack([pair.features_teacher[kept], pair.features_student[kept]]).astype(np.float64)
    plane = TSNE(init="pca", perplexity=perplexity(len(kept)), random_state=0).fit_transform(features)
    clouds = {"labels": labels[kept], "teacher": plane[: len(kept)], "student": plane[len(kept) :]}
    for name, cloud in clouds.items():
        # Single precision, of which four digits are more than a picture shows.
        values = [float(f"{value:.4g}") for value in np.ravel(cloud)]
        yield {"kind": "embedding", "name": name, "target": "test", "n": len(kept), "values": values}


def balanced(labels: Int64) -> Int64:
    """Places of at most `EMBEDDED` labels, the first of each class, as many of each as there are of any if they suffice."""
    classes = np.unique(labels)
    each = max(1, EMBEDDED // len(classes))
    return np.concatenate([np.flatnonzero(labels == label)[:each] for label in classes])[:EMBEDDED]


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
